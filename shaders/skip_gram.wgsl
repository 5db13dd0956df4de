// Skip-gram with negative sampling: one step of stochastic gradient descent per tile of text.
//
//   f[i, o] = sigmoid(v_i . u_o)        g[i, o] = rate * weight[i, o] * (label[o] - f[i, o])
//   v_i += sum_o g[i, o] u_o            u_o += g[i, o] v_i, for the inputs i one after another
//
// A tile is a few neighbouring words of the text (its centres, label 1) and words drawn at random (its
// negatives, label 0), shared by all pairs of the tile. Its inputs are the words near its centres. An
// input weighs 1 with each centre in whose window it lies, and NEGATIVE_WEIGHT with each negative,
// times the number of these centres that are not the negative itself.
//
// inputs, outputs: (n_rows, pitch), the words and behind them slots; losses: (n_tiles)
// tiles: (n_tiles, record):  n_inputs, rate,
//     per output: row to read, row to write, the centres equal to it as bits
//     per input: row to read, row to write, the centres that it pairs with as bits
//
// A cluster of 8 lanes per tile. The outputs stay in registers, so each row is read and written once
// per tile. A row that no other tile of the launch uses is written back where it was; copies of a row
// that several tiles use go to slots, which `merge_rows` adds up: no two clusters write one row.
// Source: Mikolov et al. 2013, arXiv:1310.4546, eq. 4; shared negatives: Ji et al. 2016, arXiv:1604.04661.
import package::cluster::{Lane, lane_of, cluster_of, cluster_sum, cluster_sums8, cluster_get};
import package::config::{CENTRES, CHUNKS, CLUSTERS, NEGATIVE_WEIGHT, OUTPUTS, OUTPUT_QUADS, OUTPUT_TAILS, QUADS, QUADS_MAX, TAIL, TAILS, WG_SIZE};

struct Params {
    // Where the tiles begin, in words, and their losses.
    first_word: u32,
    first_loss: u32,
    n_tiles: u32,
    // Words of a tile, and those before its first input.
    record: u32,
    first_input: u32,
    // From one row to the next, in quads.
    pitch: u32,
}

@group(0) @binding(0) var<storage, read> tiles: array<u32>;
@group(0) @binding(1) var<storage, read_write> inputs: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> outputs: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn skip_gram(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let place = workgroup.x * CLUSTERS + cluster_of(lane);
    // Past the last tile the work is repeated and not stored: lanes stay together.
    let is_tile = place < params.n_tiles;
    let tile = params.first_word + min(place, params.n_tiles - 1u) * params.record;
    let tail_quad = 8u * QUADS + (index >> 2u);

    // A lane has quads index, index + 8, .. of a row and, where these leave a rest, single elements.
    var u: array<vec4<f32>, OUTPUT_QUADS>;
    var u_tail: array<f32, OUTPUT_TAILS>;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        let row = tiles[tile + 2u + 3u * o] * params.pitch;
        for (var q = 0u; q < QUADS; q++) { // unroll
            u[o * QUADS + q] = outputs[row + index + 8u * q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            u_tail[o * TAIL + s] = outputs[row + tail_quad + 2u * s][index & 3u];
        }
    }
    // Lane k looks after outputs k, k + 8, ..
    var equal: array<u32, CHUNKS>;
    for (var j = 0u; j < CHUNKS; j++) { // unroll
        equal[j] = tiles[tile + 4u + 3u * (8u * j + index)];
    }
    let rate = bitcast<f32>(tiles[tile + 1u]);
    var loss = 0.0;

    // The same number for all tiles of a workgroup.
    let n_inputs = tiles[params.first_word + workgroup.x * CLUSTERS * params.record];
    for (var i = 0u; i < n_inputs; i++) {
        let entry = tile + params.first_input + 3u * i;
        let row = tiles[entry] * params.pitch;
        let pairs = tiles[entry + 2u];
        var v: array<vec4<f32>, QUADS_MAX>;
        var v_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            v[q] = inputs[row + index + 8u * q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            v_tail[s] = inputs[row + tail_quad + 2u * s][index & 3u];
        }
        var dots: array<f32, OUTPUTS>;
        for (var o = 0u; o < OUTPUTS; o++) { // unroll
            var sum = 0.0;
            for (var q = 0u; q < QUADS; q++) { // unroll
                sum += dot(u[o * QUADS + q], v[q]);
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                sum += u_tail[o * TAIL + s] * v_tail[s];
            }
            dots[o] = sum;
        }
        var g: array<f32, CHUNKS>;
        for (var j = 0u; j < CHUNKS; j++) { // unroll
            let o = 8u * j + index;
            let x = cluster_sums8(
                vec4<f32>(dots[8u * j], dots[8u * j + 1u], dots[8u * j + 2u], dots[8u * j + 3u]),
                vec4<f32>(dots[8u * j + 4u], dots[8u * j + 5u], dots[8u * j + 6u], dots[8u * j + 7u]),
                lane,
            );
            let is_centre = o < CENTRES;
            let drawn = NEGATIVE_WEIGHT * f32(countOneBits(pairs & ~equal[j]));
            let weight = select(drawn, f32((pairs >> (o & 31u)) & 1u), is_centre);
            let e = exp(-abs(x));
            let f = select(e, 1.0, x >= 0.0) / (1.0 + e);
            g[j] = rate * weight * (select(0.0, 1.0, is_centre) - f);
            loss += weight * (max(select(x, -x, is_centre), 0.0) + log(1.0 + e));
        }
        var step: array<vec4<f32>, QUADS_MAX>;
        var step_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            step[q] = v[q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            step_tail[s] = v_tail[s];
        }
        for (var o = 0u; o < OUTPUTS; o++) { // unroll
            let gradient = cluster_get(g[o / 8u], o % 8u, lane);
            for (var q = 0u; q < QUADS; q++) { // unroll
                step[q] += gradient * u[o * QUADS + q];
                u[o * QUADS + q] += gradient * v[q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                step_tail[s] += gradient * u_tail[o * TAIL + s];
                u_tail[o * TAIL + s] += gradient * v_tail[s];
            }
        }
        if is_tile {
            let to = tiles[entry + 1u] * params.pitch;
            for (var q = 0u; q < QUADS; q++) { // unroll
                inputs[to + index + 8u * q] = step[q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                inputs[to + tail_quad + 2u * s][index & 3u] = step_tail[s];
            }
        }
    }
    let total = cluster_sum(loss, lane);
    if is_tile {
        for (var o = 0u; o < OUTPUTS; o++) { // unroll
            let to = tiles[tile + 3u + 3u * o] * params.pitch;
            for (var q = 0u; q < QUADS; q++) { // unroll
                outputs[to + index + 8u * q] = u[o * QUADS + q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                outputs[to + tail_quad + 2u * s][index & 3u] = u_tail[o * TAIL + s];
            }
        }
        if index == 0u {
            losses[params.first_loss + place] = total;
        }
    }
}
