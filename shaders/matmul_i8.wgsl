// Matrix product for many tokens on GPUs with fast dot products of bytes.
//
//   y[t, n] = f(sum_b [s(n, b) d(t, b) sum_k q(n, k) p(t, k) + m(n, b) d(t, b) sum_k p(t, k)] + bias[n])
//
//   W[n, k] = s q + m    x[t, k] = d p    q, p: signed bytes    b: half blocks of 16 columns
//   f: the epilogue
//
// W: (n_rows, n_columns), packed, rows in groups of 4    bias: (n_rows)    y: (n_tokens, n_rows)
// x: (n_tokens, n_blocks) of 3 vec4<u32>: 32 bytes, then d and the sums of both halves (quantise_rows.wgsl)
//
// As matmul.wgsl, with one block of 32 columns at a time in workgroup memory. Sums of a half block are
// exact integers; halves are scaled and summed in f32, in the order of the columns.
import package::config::{COLS, COL_LANES, GROUPS, HAS_BIAS, ROW_LANES, WG_SIZE, W_LOADS, X_LOADS};
import package::epilogue::finish;
import package::quants::{quants_of, scales_of};

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
// Two halves and one quad of padding.
const PITCH: u32 = 3u;

@group(0) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

var<workgroup> w_tile: array<vec4<u32>, 4u * TILE_GROUPS * PITCH>;
// Scales of rows as `scales_of` gives them; of tokens d, d * sum of the first half, of the second.
var<workgroup> w_scales: array<vec4<f32>, 4u * TILE_GROUPS>;
var<workgroup> x_tile: array<vec4<u32>, TILE_TOKENS * PITCH>;
var<workgroup> x_scales: array<vec4<f32>, TILE_TOKENS>;

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

@compute @workgroup_size(WG_SIZE)
fn matmul_i8(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // Tokens change fastest over the workgroups, so that neighbours share weights in the cache.
    let first_token = workgroup.x * TILE_TOKENS;
    let first_group = workgroup.y * TILE_GROUPS;
    let row_lane = lane % ROW_LANES;
    let col_lane = lane / ROW_LANES;

    var sums: array<vec4<f32>, GROUPS * COLS>;
    for (var i = 0u; i < GROUPS * COLS; i++) { // unroll
        sums[i] = vec4<f32>(0.0);
    }
    for (var block = 0u; block < params.n_blocks; block++) {
        for (var i = 0u; i < W_LOADS; i++) { // unroll
            let at = lane + i * WG_SIZE;
            let row = at >> 1u;
            if row < 4u * TILE_GROUPS {
                // Past the last group its weights are repeated and their sums not stored.
                let group = min(first_group + (row >> 2u), params.n_groups - 1u);
                let place = (row & 3u) * TILE_GROUPS + (row >> 2u);
                w_tile[place * PITCH + (at & 1u)] =
                    quants_of(4u * group + (row & 3u), block, at & 1u, params.n_blocks);
                if (at & 1u) == 0u {
                    w_scales[place] = scales_of(4u * group + (row & 3u), block, params.n_blocks);
                }
            }
        }
        for (var i = 0u; i < X_LOADS; i++) { // unroll
            let place = lane + i * WG_SIZE;
            if place < TILE_TOKENS {
                let token = min(first_token + place, params.n_tokens - 1u);
                let at = 3u * (token * params.n_blocks + block);
                let about = bitcast<vec4<f32>>(x[at + 2u]);
                x_tile[place * PITCH] = x[at];
                x_tile[place * PITCH + 1u] = x[at + 1u];
                x_scales[place] = about.x * vec4<f32>(1.0, about.yzw);
            }
        }
        workgroupBarrier();
        for (var g = 0u; g < GROUPS; g++) { // unroll
            for (var r = 0u; r < 4u; r++) { // unroll
                let row = r * TILE_GROUPS + row_lane + g * ROW_LANES;
                let w_low = w_tile[row * PITCH];
                let w_high = w_tile[row * PITCH + 1u];
                let w_scale = w_scales[row];
                for (var c = 0u; c < COLS; c++) { // unroll
                    let token = col_lane + c * COL_LANES;
                    let x_scale = x_scales[token];
                    let low = w_scale.x * f32(dot16(w_low, x_tile[token * PITCH]));
                    let high = w_scale.y * f32(dot16(w_high, x_tile[token * PITCH + 1u]));
                    let offset = w_scale.z * x_scale.y + w_scale.w * x_scale.z;
                    sums[c * GROUPS + g][r] += x_scale.x * (low + high) + offset;
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
