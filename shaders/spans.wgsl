// The running softmax of attention over spans of positions, and how spans are merged.
//
// One cluster of 8 lanes, HEADS query heads of one kv head. For each head: the largest score m, the sum of
// exp(s - m), and sum of exp(s - m) v, of which lane l holds the quads l, l + 8, l + 16 of the head's
// dimensions, QUADS in all.
import package::config::{HEADS, QUADS};
import package::fade::{NO_SCORE, weight_of};

var<private> span_max: array<f32, HEADS>;
var<private> span_sum: array<f32, HEADS>;
var<private> span_out: array<vec4<f32>, HEADS * QUADS>;
var<private> total_max: array<f32, HEADS>;
var<private> total_sum: array<f32, HEADS>;
var<private> total_out: array<vec4<f32>, HEADS * QUADS>;

fn spans_begin() {
    for (var h = 0u; h < HEADS; h++) { // unroll
        total_max[h] = NO_SCORE;
        total_sum[h] = 0.0;
    }
    for (var i = 0u; i < HEADS * QUADS; i++) { // unroll
        total_out[i] = vec4<f32>(0.0);
    }
}

// Merges the span into the total.
fn spans_merge() {
    for (var h = 0u; h < HEADS; h++) { // unroll
        let largest = max(total_max[h], span_max[h]);
        let old = weight_of(vec4<f32>(total_max[h] - largest)).x;
        let new_weight = weight_of(vec4<f32>(span_max[h] - largest)).x;
        total_max[h] = largest;
        total_sum[h] = total_sum[h] * old + span_sum[h] * new_weight;
        for (var i = 0u; i < QUADS; i++) { // unroll
            total_out[h * QUADS + i] = total_out[h * QUADS + i] * old + span_out[h * QUADS + i] * new_weight;
        }
    }
}
