// Continuous bag of words with negative sampling: one step of gradient descent per tile of text.
//
//   h[c] = share[c] * sum_i v_i             i: the inputs in the window of centre c
//   f[c, o] = sigmoid(h_c . u_o)            g[c, o] = rate * weight[c, o] * (label[c, o] - f[c, o])
//   u_o += sum_c g[c, o] h_c                v_i += sum_c sum_o g[c, o] u_o, c: the centres near i
//
// First each centre meets itself (label 1, weight 1), then all meet the negatives one after another
// (label 0, NEGATIVE_WEIGHT, but 0 where the negative is the centre's own word). As in word2vec.c each
// input takes the gradient of the mean whole, not its share of it.
//
// inputs, outputs: (n_rows, pitch), the words and behind them slots; losses: (n_tiles)
// tiles: (n_tiles, record):  n_inputs, rate, per centre: share (0 where its window is empty),
//     per output: row to read, row to write, the centres equal to it as bits
//     per input: row to read, row to write, the centres near it as bits
//
// A cluster of 8 lanes per tile of 8 centres; h and its gradient stay in registers. Rows are written as
// `skip_gram` writes them.
// Source: Mikolov et al. 2013, arXiv:1301.3781, section 3.1; arXiv:1310.4546, eq. 4.
import package::cluster::{Lane, lane_of, cluster_of, cluster_sum, cluster_sums8, cluster_get};
import package::config::{CENTRE_QUADS, CENTRE_TAILS, CLUSTERS, NEGATIVES, NEGATIVE_WEIGHT, QUADS, QUADS_MAX, TAIL, TAILS, WG_SIZE};

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

// log(1 + exp(x))
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}

fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

@compute @workgroup_size(WG_SIZE)
fn cbow(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let place = workgroup.x * CLUSTERS + cluster_of(lane);
    // Past the last tile the work is repeated and not stored: lanes stay together.
    let is_tile = place < params.n_tiles;
    let tile = params.first_word + min(place, params.n_tiles - 1u) * params.record;
    let tail_quad = 8u * QUADS + (index >> 2u);
    let first_output = tile + 10u;
    let first_input = tile + params.first_input;
    // The same number for all tiles of a workgroup.
    let n_inputs = tiles[params.first_word + workgroup.x * CLUSTERS * params.record];
    let rate = bitcast<f32>(tiles[tile + 1u]);
    // Lane c looks after centre c.
    let share = bitcast<f32>(tiles[tile + 2u + index]);

    // A lane has quads index, index + 8, .. of a row and, where these leave a rest, single elements.
    var h: array<vec4<f32>, CENTRE_QUADS>;
    var h_tail: array<f32, CENTRE_TAILS>;
    for (var c = 0u; c < 8u; c++) { // unroll
        for (var q = 0u; q < QUADS; q++) { // unroll
            h[c * QUADS + q] = vec4<f32>(0.0);
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            h_tail[c * TAIL + s] = 0.0;
        }
    }
    for (var i = 0u; i < n_inputs; i++) {
        let row = tiles[first_input + 3u * i] * params.pitch;
        let near = tiles[first_input + 3u * i + 2u];
        let part = select(0.0, share, ((near >> index) & 1u) == 1u);
        var v: array<vec4<f32>, QUADS_MAX>;
        var v_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            v[q] = inputs[row + index + 8u * q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            v_tail[s] = inputs[row + tail_quad + 2u * s][index & 3u];
        }
        for (var c = 0u; c < 8u; c++) { // unroll
            let weight = cluster_get(part, c, lane);
            for (var q = 0u; q < QUADS; q++) { // unroll
                h[c * QUADS + q] += weight * v[q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                h_tail[c * TAIL + s] += weight * v_tail[s];
            }
        }
    }

    // The gradient of h begins with the centres' own words.
    var step: array<vec4<f32>, CENTRE_QUADS>;
    var step_tail: array<f32, CENTRE_TAILS>;
    var dots: array<f32, 8>;
    for (var c = 0u; c < 8u; c++) { // unroll
        let row = tiles[first_output + 3u * c] * params.pitch;
        var sum = 0.0;
        for (var q = 0u; q < QUADS; q++) { // unroll
            step[c * QUADS + q] = outputs[row + index + 8u * q];
            sum += dot(step[c * QUADS + q], h[c * QUADS + q]);
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            step_tail[c * TAIL + s] = outputs[row + tail_quad + 2u * s][index & 3u];
            sum += step_tail[c * TAIL + s] * h_tail[c * TAIL + s];
        }
        dots[c] = sum;
    }
    var x = cluster_sums8(
        vec4<f32>(dots[0], dots[1], dots[2], dots[3]),
        vec4<f32>(dots[4], dots[5], dots[6], dots[7]),
        lane,
    );
    // A centre without a window learns nothing.
    let present = select(0.0, 1.0, share > 0.0);
    var loss = present * softplus(-x);
    var g = rate * present * (1.0 - sigmoid(x));
    for (var c = 0u; c < 8u; c++) { // unroll
        let gradient = cluster_get(g, c, lane);
        let to = tiles[first_output + 3u * c + 1u] * params.pitch;
        for (var q = 0u; q < QUADS; q++) { // unroll
            if is_tile {
                outputs[to + index + 8u * q] = step[c * QUADS + q] + gradient * h[c * QUADS + q];
            }
            step[c * QUADS + q] *= gradient;
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            if is_tile {
                outputs[to + tail_quad + 2u * s][index & 3u] = step_tail[c * TAIL + s] + gradient * h_tail[c * TAIL + s];
            }
            step_tail[c * TAIL + s] *= gradient;
        }
    }

    for (var n = 0u; n < NEGATIVES; n++) {
        let entry = first_output + 24u + 3u * n;
        let row = tiles[entry] * params.pitch;
        let equal = tiles[entry + 2u];
        var u: array<vec4<f32>, QUADS_MAX>;
        var u_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            u[q] = outputs[row + index + 8u * q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            u_tail[s] = outputs[row + tail_quad + 2u * s][index & 3u];
        }
        for (var c = 0u; c < 8u; c++) { // unroll
            var sum = 0.0;
            for (var q = 0u; q < QUADS; q++) { // unroll
                sum += dot(u[q], h[c * QUADS + q]);
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                sum += u_tail[s] * h_tail[c * TAIL + s];
            }
            dots[c] = sum;
        }
        x = cluster_sums8(
            vec4<f32>(dots[0], dots[1], dots[2], dots[3]),
            vec4<f32>(dots[4], dots[5], dots[6], dots[7]),
            lane,
        );
        let weight = select(NEGATIVE_WEIGHT * present, 0.0, ((equal >> index) & 1u) == 1u);
        loss += weight * softplus(x);
        g = -rate * weight * sigmoid(x);
        var moved: array<vec4<f32>, QUADS_MAX>;
        var moved_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            moved[q] = u[q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            moved_tail[s] = u_tail[s];
        }
        for (var c = 0u; c < 8u; c++) { // unroll
            let gradient = cluster_get(g, c, lane);
            for (var q = 0u; q < QUADS; q++) { // unroll
                step[c * QUADS + q] += gradient * u[q];
                moved[q] += gradient * h[c * QUADS + q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                step_tail[c * TAIL + s] += gradient * u_tail[s];
                moved_tail[s] += gradient * h_tail[c * TAIL + s];
            }
        }
        if is_tile {
            let to = tiles[entry + 1u] * params.pitch;
            for (var q = 0u; q < QUADS; q++) { // unroll
                outputs[to + index + 8u * q] = moved[q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                outputs[to + tail_quad + 2u * s][index & 3u] = moved_tail[s];
            }
        }
    }

    for (var i = 0u; i < n_inputs; i++) {
        let row = tiles[first_input + 3u * i] * params.pitch;
        let to = tiles[first_input + 3u * i + 1u] * params.pitch;
        let near = tiles[first_input + 3u * i + 2u];
        let part = f32((near >> index) & 1u);
        var v: array<vec4<f32>, QUADS_MAX>;
        var v_tail: array<f32, TAILS>;
        for (var q = 0u; q < QUADS; q++) { // unroll
            v[q] = inputs[row + index + 8u * q];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            v_tail[s] = inputs[row + tail_quad + 2u * s][index & 3u];
        }
        for (var c = 0u; c < 8u; c++) { // unroll
            let weight = cluster_get(part, c, lane);
            for (var q = 0u; q < QUADS; q++) { // unroll
                v[q] += weight * step[c * QUADS + q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                v_tail[s] += weight * step_tail[c * TAIL + s];
            }
        }
        if is_tile {
            for (var q = 0u; q < QUADS; q++) { // unroll
                inputs[to + index + 8u * q] = v[q];
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                inputs[to + tail_quad + 2u * s][index & 3u] = v_tail[s];
            }
        }
    }
    let total = cluster_sum(loss, lane);
    if is_tile && index == 0u {
        losses[params.first_loss + place] = total;
    }
}
