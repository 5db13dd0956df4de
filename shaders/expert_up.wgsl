// The first half of the chosen experts' feed-forward networks.
//
//   y[t, j, :] = f(gate_e x[t]) * (up_e x[t]), or f(up_e x[t])        e = experts[t, j]
//
// W: (n_experts * 2 * n_ff, n_columns), gate and up rows in turn, or (n_experts * n_ff, n_columns)
// x: (n_tokens, n_columns)
// experts: (n_tokens, n_used)    y: (n_tokens, n_used, n_ff)
//
// A cluster of 8 lanes makes 4 rows for one token and one of its experts; as in matvec.wgsl.
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

@compute @workgroup_size(WG_SIZE)
fn expert_up(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let token = workgroup.y;
    let group = workgroup.x * CLUSTERS + cluster_of(lane);
    let expert = experts[token * params.experts_pitch + workgroup.z];
    let wanted = expert * params.n_groups + group - params.first_group;
    // What lies in another chunk, or past the end, is computed and not stored: lanes stay together.
    let at = min(wanted, params.n_chunk_groups - 1u);
    var sum = vec4<f32>(0.0);
    for (var block = index; block < params.n_blocks; block += 8u) {
        var x: array<Block, 1>;
        x[0] = prepare(x_block(token * params.n_quads, block, params.n_quads));
        sum += products(at, 0u, block, params.n_blocks, &x)[0];
    }
    sum = cluster_sum4(sum, lane);
    if index == 0u && group < params.n_groups && wanted < params.n_chunk_groups {
        finish((token * params.n_used + workgroup.z) * params.y_pitch + group, sum);
    }
}
