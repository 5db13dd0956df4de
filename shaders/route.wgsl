// Chooses experts: the largest of a softmax over the router's scores.
//
//   p = softmax(scores[t]);  experts[t, j] = the j-th largest of p;  shares[t, j] = p[experts[t, j]],
//   divided by the sum of those chosen where NORMALISE
//
// scores: (n_tokens, n_experts)    experts, shares: (n_tokens, n_used)
//
// One lane per token: there are few experts.
// Source: Shazeer et al. 2017, arXiv:1701.06538, section 2.1; Fedus et al. 2021, arXiv:2101.03961.
import package::config::{NORMALISE, WG_SIZE};

struct Params {
    n_tokens: u32,
    n_experts: u32,
    n_used: u32,
    scores_pitch: u32,
    pitch: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> experts: array<u32>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn route(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= params.n_tokens {
        return;
    }
    let row = token * params.scores_pitch;
    let out = token * params.pitch;
    var largest = scores[row];
    for (var e = 1u; e < params.n_experts; e++) {
        largest = max(largest, scores[row + e]);
    }
    var total = 0.0;
    for (var e = 0u; e < params.n_experts; e++) {
        total += exp(max(scores[row + e] - largest, -87.0));
    }
    var sum = 0.0;
    for (var j = 0u; j < params.n_used; j++) {
        var best = params.n_experts;
        for (var e = 0u; e < params.n_experts; e++) {
            var taken = false;
            for (var i = 0u; i < j; i++) {
                taken = taken || experts[out + i] == e;
            }
            if !taken && (best == params.n_experts || scores[row + e] > scores[row + best]) {
                best = e;
            }
        }
        let share = exp(max(scores[row + best] - largest, -87.0)) / total;
        experts[out + j] = best;
        shares[out + j] = share;
        sum += share;
    }
    if NORMALISE {
        for (var j = 0u; j < params.n_used; j++) {
            shares[out + j] /= sum;
        }
    }
}
