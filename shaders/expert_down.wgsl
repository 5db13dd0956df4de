// The second half of the chosen experts' feed-forward networks, added up.
//
//   y[t] += sum_j shares[t, j] * down_e x[t, j]        e = experts[t, j]
//
// W: (n_experts * n_embd, n_ff)    x: (n_tokens, n_used, n_ff)    y: (n_tokens, n_embd)
// experts, shares: (n_tokens, n_used)
//
// A cluster of 8 lanes makes 4 rows for one token, over its experts in order: no atomics.
import package::block::Block;
import package::cluster::{Lane, lane_of, cluster_of, cluster_sum4};
import package::config::{CLUSTERS, WG_SIZE};
import package::epilogue::finish;
import package::input::x_block;
import package::rows::four::products;
import package::weight::prepare;

struct Params {
    n_quads: u32,
    n_blocks: u32,
    n_used: u32,
    experts_pitch: u32,
    // Groups of 4 rows of one expert, and those of this chunk of the weight.
    n_groups: u32,
    first_group: u32,
    n_chunk_groups: u32,
    y_pitch: u32,
}

@group(0) @binding(0) var<storage, read> experts: array<u32>;
@group(0) @binding(3) var<storage, read> shares: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn expert_down(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let token = workgroup.y;
    let group = workgroup.x * CLUSTERS + cluster_of(lane);
    var sum = vec4<f32>(0.0);
    for (var j = 0u; j < params.n_used; j++) {
        let expert = experts[token * params.experts_pitch + j];
        let wanted = expert * params.n_groups + group - params.first_group;
        let is_here = wanted < params.n_chunk_groups;
        let share = select(0.0, shares[token * params.experts_pitch + j], is_here);
        let at = min(wanted, params.n_chunk_groups - 1u);
        let row = (token * params.n_used + j) * params.n_quads;
        for (var block = index; block < params.n_blocks; block += 8u) {
            var x: array<Block, 1>;
            x[0] = prepare(x_block(row, block, params.n_quads));
            sum += share * products(at, 0u, block, params.n_blocks, &x)[0];
        }
    }
    sum = cluster_sum4(sum, lane);
    if index == 0u && group < params.n_groups {
        finish(token * params.y_pitch + group, sum);
    }
}
