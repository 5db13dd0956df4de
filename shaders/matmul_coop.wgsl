// Matrix product for many tokens on GPUs with units for small matrices.
//
//   y[t, n] = f(sum_k W[n, k] x[t, k] + bias[n])        f: the epilogue
//
// W: (n_rows, n_columns), packed, rows in groups of 4    x: (n_tokens, n_columns)
// bias: (n_rows)                                         y: (n_tokens, n_rows)
//
// As matmul.wgsl, but what is brought to workgroup memory, as f16, is multiplied by cooperative
// matrices of COOP x COOP: subgroup (i, j) of SUB_ROWS x SUB_COLS holds MAT_ROWS x MAT_COLS of them in
// f32. Subgroups may be smaller than the largest that the device has, and then more of them: those
// beyond the grid repeat the last one's work, since cooperative operations allow no branch. Results pass through workgroup memory, one matrix
// of each subgroup at a time, since an epilogue takes 4 rows of a token together.
// Source: VK_KHR_cooperative_matrix, and metal::simdgroup_matrix.
import package::activations::x_at;
import package::config::{HAS_BIAS, MAT_COLS, MAT_ROWS, STEP_MATS, SUB_COLS, SUB_ROWS, WG_SIZE, W_LOADS, X_LOADS};
import package::coop::{COOP, coop_a, coop_b, coop_c};
import package::epilogue::finish;
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

const TILE_ROWS: u32 = SUB_ROWS * MAT_ROWS * COOP;
const TILE_TOKENS: u32 = SUB_COLS * MAT_COLS * COOP;
// Columns that are in workgroup memory at a time, as quads; rows are 16 bytes further apart than they
// need be, so that they begin in different banks.
const STEP_QUADS: u32 = STEP_MATS * COOP / 4u;
const PITCH: u32 = STEP_MATS * COOP + 8u;
// Elements of a matrix, and quads.
const MAT: u32 = COOP * COOP;
const MAT_QUADS: u32 = COOP * COOP / 4u;

@group(0) @binding(0) var<storage, read> bias: array<vec4<f32>>;

var<workgroup> w_tile: array<f16, TILE_ROWS * PITCH>;
var<workgroup> x_tile: array<f16, TILE_TOKENS * PITCH>;
// One matrix of each subgroup, its columns (tokens) contiguous.
var<workgroup> stage: array<f32, SUB_ROWS * SUB_COLS * MAT>;

@compute @workgroup_size(WG_SIZE)
fn matmul_coop(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let first_token = workgroup.x * TILE_TOKENS;
    let first_group = workgroup.y * TILE_ROWS / 4u;
    let own = min(subgroup, SUB_ROWS * SUB_COLS - 1u);
    let sub_row = own % SUB_ROWS;
    let sub_col = own / SUB_ROWS;

    for (var at = lane; at < SUB_ROWS * SUB_COLS * MAT; at += WG_SIZE) {
        stage[at] = 0.0;
    }
    workgroupBarrier();
    var sums: array<coop_c, MAT_ROWS * MAT_COLS>;
    for (var i = 0u; i < MAT_ROWS * MAT_COLS; i++) { // unroll
        sums[i] = coopLoad<coop_c>(&stage[own * MAT], COOP);
    }
    for (var step = 0u; step < 8u * params.n_blocks; step += STEP_QUADS) {
        for (var i = 0u; i < W_LOADS; i++) { // unroll
            let at = lane + i * WG_SIZE;
            let row = at / STEP_QUADS;
            if row < TILE_ROWS {
                // Past the last group its weights are repeated and their sums not stored.
                let group = min(first_group + (row >> 2u), params.n_groups - 1u);
                let w = weight4(4u * group + (row & 3u), step + at % STEP_QUADS, params.n_blocks);
                let to = row * PITCH + at % STEP_QUADS * 4u;
                w_tile[to] = f16(w.x);
                w_tile[to + 1u] = f16(w.y);
                w_tile[to + 2u] = f16(w.z);
                w_tile[to + 3u] = f16(w.w);
            }
        }
        for (var i = 0u; i < X_LOADS; i++) { // unroll
            let at = lane + i * WG_SIZE;
            if at / STEP_QUADS < TILE_TOKENS {
                let token = min(first_token + at / STEP_QUADS, params.n_tokens - 1u);
                // Past the end of a row the last quad is repeated: the weights there are zero.
                let quad = min(step + at % STEP_QUADS, params.n_quads - 1u);
                let v = x_at(token * params.n_quads + quad);
                let to = at / STEP_QUADS * PITCH + at % STEP_QUADS * 4u;
                x_tile[to] = f16(v.x);
                x_tile[to + 1u] = f16(v.y);
                x_tile[to + 2u] = f16(v.z);
                x_tile[to + 3u] = f16(v.w);
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP_MATS; k++) { // unroll
            var a: array<coop_a, MAT_ROWS>;
            for (var i = 0u; i < MAT_ROWS; i++) { // unroll
                a[i] = coopLoadT<coop_a>(&w_tile[(sub_row * MAT_ROWS + i) * COOP * PITCH + k * COOP], PITCH);
            }
            for (var j = 0u; j < MAT_COLS; j++) { // unroll
                let b = coopLoad<coop_b>(&x_tile[(sub_col * MAT_COLS + j) * COOP * PITCH + k * COOP], PITCH);
                for (var i = 0u; i < MAT_ROWS; i++) { // unroll
                    sums[j * MAT_ROWS + i] = coopMultiplyAdd(a[i], b, sums[j * MAT_ROWS + i]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < MAT_COLS; j++) { // unroll
        for (var i = 0u; i < MAT_ROWS; i++) { // unroll
            coopStore(sums[j * MAT_ROWS + i], &stage[own * MAT], COOP);
            workgroupBarrier();
            for (var at = lane; at < SUB_ROWS * SUB_COLS * MAT_QUADS; at += WG_SIZE) {
                let owner = at / MAT_QUADS;
                let in_mat = at % MAT_QUADS;
                let group = first_group + ((owner % SUB_ROWS) * MAT_ROWS + i) * (COOP / 4u) + in_mat % (COOP / 4u);
                let token = first_token + ((owner / SUB_ROWS) * MAT_COLS + j) * COOP + in_mat / (COOP / 4u);
                if group < params.n_groups && token < params.n_tokens {
                    var sum = vec4<f32>(stage[4u * at], stage[4u * at + 1u], stage[4u * at + 2u], stage[4u * at + 3u]);
                    if HAS_BIAS {
                        sum += bias[params.first_group + group];
                    }
                    finish(token * params.y_pitch + params.first_group + group, sum);
                }
            }
            workgroupBarrier();
        }
    }
}
