// Plays `weigh`: the lanes share the weights of two heads. Lane k makes that of head k / 4 of the two and
// position k % 4, and gets the others from the lanes that made them. PAIRS: HEADS / 2, rounded up.
import package::spans::{span_max, span_sum};
import package::cluster::{Lane, cluster_get, half_max, half_sum, cluster_sums8, lane_of};
import package::config::{ALIBI, HEADS, PAIRS, RELATIVE, SOFT_CAP};
import package::fade::{NO_SCORE, weight_of};

// Of the lane's head in each pair: the largest score, and the sum of the lane's own weights.
var<private> pair_max: array<f32, PAIRS>;
var<private> pair_sum: array<f32, PAIRS>;

fn weigh_begin() {
    for (var j = 0u; j < PAIRS; j++) { // unroll
        pair_max[j] = NO_SCORE;
        pair_sum[j] = 0.0;
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
    let index = lane_of(lane);
    let position = p + (index & 3u);
    let seen_2 = select(seen.xy, seen.zw, (index & 2u) != 0u);
    let is_seen = select(seen_2.x, seen_2.y, (index & 1u) != 0u);
    var fades: array<f32, HEADS>;
    for (var j = 0u; j < PAIRS; j++) { // unroll
        // A head without another is its own other.
        const second = min(2u * j + 1u, HEADS - 1u);
        var s = cluster_sums8((*scores)[2u * j], (*scores)[second], lane);
        let head = first_head + select(2u * j, second, index >= 4u);
        if SOFT_CAP {
            s = params.soft_cap * tanh(clamp(s / params.soft_cap, -15.0, 15.0));
        }
        if ALIBI {
            // The query's own position would add the same to all scores.
            s += biases[head] * f32(position);
        }
        if RELATIVE {
            let reach = i32(params.reach);
            let column = clamp(i32(position) - i32(own_position), -reach, reach) + reach;
            s += biases[head * (2u * params.reach + 1u) + u32(column)];
        }
        s = select(NO_SCORE, s, is_seen);
        let largest = max(pair_max[j], half_max(s, lane));
        let w = select(0.0, weight_of(vec4<f32>(s - largest)).x, is_seen);
        let fade = weight_of(vec4<f32>(pair_max[j] - largest)).x;
        pair_max[j] = largest;
        pair_sum[j] = pair_sum[j] * fade + w;
        fades[second] = cluster_get(fade, 4u, lane);
        fades[2u * j] = cluster_get(fade, 0u, lane);
        (*scores)[second] = vec4<f32>(
            cluster_get(w, 4u, lane),
            cluster_get(w, 5u, lane),
            cluster_get(w, 6u, lane),
            cluster_get(w, 7u, lane),
        );
        (*scores)[2u * j] = vec4<f32>(
            cluster_get(w, 0u, lane),
            cluster_get(w, 1u, lane),
            cluster_get(w, 2u, lane),
            cluster_get(w, 3u, lane),
        );
    }
    return fades;
}

fn weigh_end(lane: Lane) {
    for (var j = 0u; j < PAIRS; j++) { // unroll
        const second = min(2u * j + 1u, HEADS - 1u);
        let sum = half_sum(pair_sum[j], lane);
        span_max[second] = cluster_get(pair_max[j], 4u, lane);
        span_sum[second] = cluster_get(sum, 4u, lane);
        span_max[2u * j] = cluster_get(pair_max[j], 0u, lane);
        span_sum[2u * j] = cluster_get(sum, 0u, lane);
    }
}
