// Plays `weigh`: every lane makes the weights of all heads, after sums over the cluster.
import package::spans::{span_max, span_sum};
import package::cluster::{Lane, cluster_sum4};
import package::config::{ALIBI, HEADS, RELATIVE, SOFT_CAP};
import package::fade::{NO_SCORE, weight_of};

fn weigh_begin() {
    for (var h = 0u; h < HEADS; h++) { // unroll
        span_max[h] = NO_SCORE;
        span_sum[h] = 0.0;
    }
}

// The lanes' parts of the scores of positions p .. p + 4 become weights, the same in all lanes. Returns by
// how much the weights before them count less. All lanes must call it.
fn weigh(
    scores: ptr<function, array<vec4<f32>, HEADS>>,
    first_head: u32,
    p: u32,
    own_position: u32,
    seen: vec4<bool>,
    lane: Lane,
) -> array<f32, HEADS> {
    let position = vec4<u32>(p) + vec4<u32>(0u, 1u, 2u, 3u);
    var fades: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        var s = cluster_sum4((*scores)[h], lane);
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
        let w = select(vec4<f32>(0.0), weight_of(s - largest), seen);
        fades[h] = weight_of(vec4<f32>(span_max[h] - largest)).x;
        span_max[h] = largest;
        span_sum[h] = span_sum[h] * fades[h] + dot(w, vec4<f32>(1.0));
        (*scores)[h] = w;
    }
    return fades;
}

fn weigh_end(lane: Lane) {}
