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
import package::block::{Block, block_of};
import package::cluster::{Lane, lane_of, cluster_of, cluster_sum, cluster_sum4};
import package::config::{CLUSTERS, COLS, GROUPS, HAS_BIAS, WG_SIZE};
import package::epilogue::finish;
import package::input::x_block;
import package::rows::four::products;
import package::weight::prepare;

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
    var sum = 0.0;
    for (var i = 0u; i < 8u; i++) { // unroll
        sum += dot(x.v[i], x.v[i]);
    }
    return sum;
}

fn with_gain(x: Block, block: u32) -> Block {
    var v = x.v;
    for (var i = 0u; i < 8u; i++) { // unroll
        v[i] *= gain[8u * block + i];
    }
    return block_of(v);
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
            let group = min(first + g, params.n_groups - 1u);
            let made = products(group, 0u, block, params.n_blocks, &inputs);
            for (var c = 0u; c < COLS; c++) { // unroll
                sums[c * GROUPS + g] += made[c];
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
