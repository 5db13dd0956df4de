// The running softmax of attention over a span of positions, and how spans are merged.
//
// One cluster of 8 lanes, HEADS query heads of one kv head; each lane holds QUADS quads of the
// head's dimensions. For each head: the largest score m, the sum of exp(s - m), and
// sum of exp(s - m) v. The kernel gives `query`, quads of q.
import package::cluster::{Lane, cluster_sum4};
import package::config::{ALIBI, GROUP, HEADS, HEAD_DIM, QUADS, RELATIVE, SOFT_CAP};
import package::fade::{NO_SCORE, weight_of};
import package::kv_read::{load_key, load_value};
import package::mask::{next_group, visible};

var<private> span_max: array<f32, HEADS>;
var<private> span_sum: array<f32, HEADS>;
var<private> span_out: array<vec4<f32>, HEADS * QUADS>;
var<private> total_max: array<f32, HEADS>;
var<private> total_sum: array<f32, HEADS>;
var<private> total_out: array<vec4<f32>, HEADS * QUADS>;

fn attend_begin() {
    for (var h = 0u; h < HEADS; h++) { // unroll
        total_max[h] = NO_SCORE;
        total_sum[h] = 0.0;
    }
    for (var i = 0u; i < HEADS * QUADS; i++) { // unroll
        total_out[i] = vec4<f32>(0.0);
    }
}

// Adds the positions from_position .. end, which lie in one span, to a fresh span.
fn attend_span(
    token: u32,
    slot: u32,
    first_head: u32,
    from_position: u32,
    end: u32,
    index: u32,
    lane: Lane,
) {
    let kv_head = first_head / GROUP;
    let last = HEAD_DIM / 4u - 1u;
    var own: array<vec4<f32>, HEADS * QUADS>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        span_max[h] = NO_SCORE;
        span_sum[h] = 0.0;
        for (var i = 0u; i < QUADS; i++) { // unroll
            let quad = index + 8u * i;
            let at = (token * params.n_heads + first_head + h) * (HEAD_DIM / 4u) + min(quad, last);
            // Lanes past the last quad hold zeros, which add nothing.
            own[h * QUADS + i] = select(query(at), vec4<f32>(0.0), quad > last);
            span_out[h * QUADS + i] = vec4<f32>(0.0);
        }
    }
    let own_position = positions[token];
    // Groups of 4 positions; those in which a sparse pattern sees none are skipped.
    let first = next_group(from_position & 0xFFFFFFFCu, own_position);
    for (var p = first; p < end; p = next_group(p + 4u, own_position)) {
        let page = pages[slot * params.max_pages + (p >> 5u)];
        let row = (page * params.n_kv_heads + kv_head) * 32u + (p & 31u);
        let position = vec4<u32>(p) + vec4<u32>(0u, 1u, 2u, 3u);
        let seen = (position >= vec4<u32>(from_position)) & (position < vec4<u32>(end))
            & visible(position, own_position);

        var scores: array<vec4<f32>, HEADS>;
        for (var h = 0u; h < HEADS; h++) { // unroll
            scores[h] = vec4<f32>(0.0);
        }
        for (var i = 0u; i < QUADS; i++) { // unroll
            let quad = min(index + 8u * i, last);
            let k0 = load_key(row, quad);
            let k1 = load_key(row + 1u, quad);
            let k2 = load_key(row + 2u, quad);
            let k3 = load_key(row + 3u, quad);
            for (var h = 0u; h < HEADS; h++) { // unroll
                let x = own[h * QUADS + i];
                scores[h] += vec4<f32>(dot(x, k0), dot(x, k1), dot(x, k2), dot(x, k3));
            }
        }
        for (var h = 0u; h < HEADS; h++) { // unroll
            var s = cluster_sum4(scores[h], lane);
            if SOFT_CAP {
                s = params.soft_cap * tanh(clamp(s / params.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
            }
            if ALIBI {
                // The query's own position would add the same to all scores.
                s += biases[first_head + h] * vec4<f32>(position);
            }
            if RELATIVE {
                let reach = i32(params.reach);
                let ahead = vec4<i32>(position) - vec4<i32>(i32(own_position));
                let column = vec4<u32>(clamp(ahead, vec4<i32>(-reach), vec4<i32>(reach)) + vec4<i32>(reach));
                let row = (first_head + h) * (2u * params.reach + 1u);
                s += vec4<f32>(
                    biases[row + column.x],
                    biases[row + column.y],
                    biases[row + column.z],
                    biases[row + column.w],
                );
            }
            s = select(vec4<f32>(NO_SCORE), s, seen);
            let largest = max(span_max[h], max(max(s.x, s.y), max(s.z, s.w)));
            let fade = weight_of(vec4<f32>(span_max[h] - largest)).x;
            let w = select(vec4<f32>(0.0), weight_of(s - largest), seen);
            span_max[h] = largest;
            span_sum[h] = span_sum[h] * fade + dot(w, vec4<f32>(1.0));
            scores[h] = w;
            for (var i = 0u; i < QUADS; i++) { // unroll
                span_out[h * QUADS + i] *= fade;
            }
        }
        for (var i = 0u; i < QUADS; i++) { // unroll
            let quad = min(index + 8u * i, last);
            // What lies past the sequence's end may be anything, also no number.
            let v0 = select(vec4<f32>(0.0), load_value(row, quad), seen.x);
            let v1 = select(vec4<f32>(0.0), load_value(row + 1u, quad), seen.y);
            let v2 = select(vec4<f32>(0.0), load_value(row + 2u, quad), seen.z);
            let v3 = select(vec4<f32>(0.0), load_value(row + 3u, quad), seen.w);
            for (var h = 0u; h < HEADS; h++) { // unroll
                let w = scores[h];
                span_out[h * QUADS + i] += (w.x * v0 + w.y * v1) + (w.z * v2 + w.w * v3);
            }
        }
    }
}

// Merges the span into the total.
fn attend_merge() {
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
