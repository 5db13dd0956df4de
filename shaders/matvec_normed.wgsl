// Matrix product of a few normalised tokens, without a launch for the norm.
//
//   y[t, n] = f(r[t] sum_k W[n, k] g[k] x[t, k] + bias[n])      r[t] = 1 / sqrt(mean_k(x[t, k]^2) + eps)
//
// W: (n_rows, n_columns), packed, rows in groups of 4    x: (n_tokens, n_columns), f32    g: (n_columns)
// bias: (n_rows)                                         y: (n_tokens, n_rows)
//
// As matvec.wgsl. A cluster reads all of x anyway, so it sums the squares beside the products and
// scales at the end; n_columns is a multiple of 32.
// Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
import package::block::Block;
import package::cluster::{Lane, lane_of, cluster_of, cluster_sum, cluster_sum4};
import package::config::{CLUSTERS, COLS, GROUPS, HAS_BIAS, WG_SIZE};
import package::epilogue::finish;
import package::input::x_block;
import package::weight::{dot4, load_weights, prepare};

struct Params {
    n_tokens: u32,
    // Of x, in quads.
    n_quads: u32,
    n_blocks: u32,
    // Groups of 4 rows in this chunk of the weight, and the first of them in y and bias.
    n_groups: u32,
    first_group: u32,
    // From one row of y to the next, in units of `finish`.
    y_pitch: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>;

fn squares_of(x: Block) -> f32 {
    return ((dot(x.v0, x.v0) + dot(x.v1, x.v1)) + (dot(x.v2, x.v2) + dot(x.v3, x.v3)))
        + ((dot(x.v4, x.v4) + dot(x.v5, x.v5)) + (dot(x.v6, x.v6) + dot(x.v7, x.v7)));
}

fn with_gain(x: Block, block: u32) -> Block {
    let at = 8u * block;
    var b = Block(
        x.v0 * gain[at],
        x.v1 * gain[at + 1u],
        x.v2 * gain[at + 2u],
        x.v3 * gain[at + 3u],
        x.v4 * gain[at + 4u],
        x.v5 * gain[at + 5u],
        x.v6 * gain[at + 6u],
        x.v7 * gain[at + 7u],
        0.0,
        0.0,
    );
    b.sum_low = dot((b.v0 + b.v1) + (b.v2 + b.v3), vec4<f32>(1.0));
    b.sum_high = dot((b.v4 + b.v5) + (b.v6 + b.v7), vec4<f32>(1.0));
    return b;
}

@compute @workgroup_size(WG_SIZE)
fn matvec_normed(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let first = (workgroup.x * CLUSTERS + cluster_of(lane)) * GROUPS;
    let first_token = workgroup.y * COLS;

    var sums: array<vec4<f32>, GROUPS * COLS>;
    for (var i = 0u; i < GROUPS * COLS; i++) { // unroll
        sums[i] = vec4<f32>(0.0);
    }
    var squares: array<f32, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        squares[c] = 0.0;
    }
    for (var block = index; block < params.n_blocks; block += 8u) {
        var inputs: array<Block, COLS>;
        for (var c = 0u; c < COLS; c++) { // unroll
            let token = min(first_token + c, params.n_tokens - 1u);
            let x = x_block(token * params.n_quads, block, params.n_quads);
            squares[c] += squares_of(x);
            inputs[c] = prepare(with_gain(x, block));
        }
        for (var g = 0u; g < GROUPS; g++) { // unroll
            // Past the last group the work is repeated and not stored: lanes stay together.
            let w = load_weights(min(first + g, params.n_groups - 1u), block, params.n_blocks);
            for (var c = 0u; c < COLS; c++) { // unroll
                sums[c * GROUPS + g] += dot4(w, inputs[c]);
            }
        }
    }
    for (var c = 0u; c < COLS; c++) { // unroll
        let mean_square = cluster_sum(squares[c], lane) / (4.0 * f32(params.n_quads));
        let scale = inverseSqrt(mean_square + params.eps);
        for (var g = 0u; g < GROUPS; g++) { // unroll
            var sum = cluster_sum4(sums[c * GROUPS + g], lane) * scale;
            let group = first + g;
            let token = first_token + c;
            if index == 0u && group < params.n_groups && token < params.n_tokens {
                let at = params.first_group + group;
                if HAS_BIAS {
                    sum += bias[at];
                }
                finish(token * params.y_pitch + at, sum);
            }
        }
    }
}
