// Matrix product for many tokens on GPUs, by tiles in workgroup memory.
//
//   y[t, n] = f(sum_k W[n, k] x[t, k] + bias[n])        f: the epilogue
//
// W: (n_rows, n_columns), packed, rows in groups of 4    x: (n_tokens, n_columns)
// bias: (n_rows)                                         y: (n_tokens, n_rows)
//
// A workgroup makes 4 * GROUPS * ROW_LANES rows x COLS * COL_LANES tokens. Step by step, its lanes
// bring STEP_QUADS quads of each of these rows and tokens into workgroup memory, weights decoded;
// then each lane multiplies 4 * GROUPS rows with COLS tokens in registers. So a weight is decoded
// once for all tokens of the tile. Sums are in the order of the columns, whatever the tile is.
//
// The tile's rows lie with row 4 g + i at i * (groups in the tile) + g, one quad of padding behind
// each: neighbouring lanes then read from different banks of memory.
// Source: Volkov & Demmel 2008, doi:10.1109/SC.2008.5214359 (blocking in registers).
import package::activations::x_at;
import package::config::{COLS, COL_LANES, GROUPS, HAS_BIAS, ROW_LANES, STEP_QUADS, WG_SIZE, W_LOADS, X_LOADS};
import package::epilogue::finish;
import package::tile::{tile4, from_tile4, to_tile4};
import package::weight::weight4;

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
}

const TILE_GROUPS: u32 = GROUPS * ROW_LANES;
const TILE_TOKENS: u32 = COLS * COL_LANES;
const PITCH: u32 = STEP_QUADS + 1u;

@group(0) @binding(0) var<storage, read> bias: array<vec4<f32>>;

var<workgroup> w_tile: array<tile4, 4u * TILE_GROUPS * PITCH>;
var<workgroup> x_tile: array<tile4, TILE_TOKENS * PITCH>;

@compute @workgroup_size(WG_SIZE)
fn matmul(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // Tokens change fastest over the workgroups, so that neighbours share weights in the cache.
    let first_token = workgroup.x * TILE_TOKENS;
    let first_group = workgroup.y * TILE_GROUPS;
    let row_lane = lane % ROW_LANES;
    let col_lane = lane / ROW_LANES;

    var sums: array<vec4<f32>, GROUPS * COLS>;
    for (var i = 0u; i < GROUPS * COLS; i++) { // unroll
        sums[i] = vec4<f32>(0.0);
    }
    for (var step = 0u; step < 8u * params.n_blocks; step += STEP_QUADS) {
        for (var i = 0u; i < W_LOADS; i++) { // unroll
            let at = lane + i * WG_SIZE;
            let row = at / STEP_QUADS;
            // Past the last group its weights are repeated and their sums not stored.
            let group = min(first_group + (row >> 2u), params.n_groups - 1u);
            let w = weight4(4u * group + (row & 3u), step + at % STEP_QUADS, params.n_blocks);
            w_tile[((row & 3u) * TILE_GROUPS + (row >> 2u)) * PITCH + at % STEP_QUADS] = to_tile4(w);
        }
        for (var i = 0u; i < X_LOADS; i++) { // unroll
            let at = lane + i * WG_SIZE;
            let token = min(first_token + at / STEP_QUADS, params.n_tokens - 1u);
            // Past the end of a row the last quad is repeated: the weights there are zero.
            let quad = min(step + at % STEP_QUADS, params.n_quads - 1u);
            x_tile[at / STEP_QUADS * PITCH + at % STEP_QUADS] = to_tile4(x_at(token * params.n_quads + quad));
        }
        workgroupBarrier();
        for (var q = 0u; q < STEP_QUADS; q++) {
            var xs: array<vec4<f32>, COLS>;
            for (var c = 0u; c < COLS; c++) { // unroll
                xs[c] = from_tile4(x_tile[(col_lane + c * COL_LANES) * PITCH + q]);
            }
            for (var g = 0u; g < GROUPS; g++) { // unroll
                let at = (row_lane + g * ROW_LANES) * PITCH + q;
                let r0 = from_tile4(w_tile[at]);
                let r1 = from_tile4(w_tile[at + TILE_GROUPS * PITCH]);
                let r2 = from_tile4(w_tile[at + 2u * TILE_GROUPS * PITCH]);
                let r3 = from_tile4(w_tile[at + 3u * TILE_GROUPS * PITCH]);
                for (var c = 0u; c < COLS; c++) { // unroll
                    var sum = sums[c * GROUPS + g];
                    sum += vec4<f32>(r0.x, r1.x, r2.x, r3.x) * xs[c].x;
                    sum += vec4<f32>(r0.y, r1.y, r2.y, r3.y) * xs[c].y;
                    sum += vec4<f32>(r0.z, r1.z, r2.z, r3.z) * xs[c].z;
                    sum += vec4<f32>(r0.w, r1.w, r2.w, r3.w) * xs[c].w;
                    sums[c * GROUPS + g] = sum;
                }
            }
        }
        workgroupBarrier();
    }
    for (var c = 0u; c < COLS; c++) { // unroll
        for (var g = 0u; g < GROUPS; g++) { // unroll
            let group = first_group + row_lane + g * ROW_LANES;
            let token = first_token + col_lane + c * COL_LANES;
            if group < params.n_groups && token < params.n_tokens {
                let at = params.first_group + group;
                var sum = sums[c * GROUPS + g];
                if HAS_BIAS {
                    sum += bias[at];
                }
                finish(token * params.y_pitch + at, sum);
            }
        }
    }
}
