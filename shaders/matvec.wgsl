// Matrix product for few or many tokens, without barriers or workgroup memory.
//
//   y[t, n] = f(sum_k W[n, k] x[t, k] + bias[n])        f: the epilogue
//
// W: (n_rows, n_columns), packed, rows in groups of 4    x: (n_tokens, n_columns)
// bias: (n_rows)                                         y: (n_tokens, n_rows)
//
// A cluster of 8 lanes makes 4 * GROUPS rows x COLS tokens. Its lanes take blocks of 32 columns in
// turn, so each activation that is loaded serves all of the cluster's rows, and each weight all of
// its tokens. Rows are taken in the order in which they lie in memory (band.wgsl): of a band a part of all its
// BAND_UNITS units, which are ABREAST groups (1 or 2), then the next part; then the next band. Where TAIL
// blocks are left at the end (1, 2 or 4), 8 / TAIL lanes share each of them: a lane takes TAIL_UNITS of the
// units. Every token is summed in the same order whatever COLS is.
import package::after::after;
import package::cluster::{Lane, lane_of, cluster_of};
import package::config::{ABREAST, BAND_UNITS, CLUSTERS, COLS, GROUPS, HAS_BIAS, PARTS, TAIL, TAIL_UNITS, TOTALS, UNITS, WG_SIZE};
import package::dots::{Operand, operand};
import package::epilogue::finish;
import package::kept_sums::{next_part, no_sums};
import package::rows::products;
import package::sums::{add_products, place, totals};

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

@group(0) @binding(0) var<storage, read> bias: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn matvec(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let first = (workgroup.x * CLUSTERS + cluster_of(lane)) * GROUPS;
    let first_token = workgroup.y * COLS;

    // The last unit may reach into the padding of its band.
    let n_units = (params.n_groups + ABREAST - 1u) / ABREAST;
    var sums = no_sums();
    // Whole steps of 8 blocks, and one for the tail. The loops stay loops: what a driver writes out for
    // all groups would not fit the caches of instructions.
    let end = params.n_blocks - TAIL;
    let n_full = (end + 7u) / 8u;
    for (var step = 0u; step < n_full + min(TAIL, 1u); step++) {
        let is_tail = step == n_full;
        let block = select(8u * step + index, end + index % max(TAIL, 1u), is_tail);
        // Past the end the last block is read and not added: lanes stay together.
        let at = min(block, params.n_blocks - 1u);
        var inputs: array<Operand, COLS>;
        for (var c = 0u; c < COLS; c++) { // unroll
            let token = min(first_token + c, params.n_tokens - 1u);
            inputs[c] = operand(token * params.n_quads, at, params.n_quads);
        }
        let n_rounds = select(PARTS * UNITS / BAND_UNITS, PARTS, is_tail);
        let n_own = select(BAND_UNITS, TAIL_UNITS, is_tail);
        for (var round = 0u; round < n_rounds; round++) {
            let begin = select(round / PARTS * BAND_UNITS, 0u, is_tail);
            let own = begin + select(0u, index / max(TAIL, 1u) * TAIL_UNITS, is_tail);
            for (var j = 0u; j < n_own; j++) {
                let unit = min(first / ABREAST + min(own + j, UNITS - 1u), n_units - 1u);
                var made = products(ABREAST * unit, round % PARTS, at, params.n_blocks, &inputs);
                let mine = select(UNITS, own + j, block < params.n_blocks);
                let past = select(begin + j + 1u, UNITS, is_tail);
                add_products(&sums, &made, mine, begin + j, past, TAIL_UNITS, lane);
            }
            next_part(&sums);
        }
    }
    let results = totals(&sums, lane);
    for (var i = 0u; i < TOTALS; i++) { // unroll
        let at = place(i, lane);
        let group = first + at.x;
        let token = first_token + at.y;
        if at.y < COLS && group < params.n_groups && token < params.n_tokens {
            let row = params.first_group + group;
            var sum = results[i];
            if HAS_BIAS {
                sum += bias[row];
            }
            finish(token * params.y_pitch + row, sum);
        }
    }
    after(lane);
}
