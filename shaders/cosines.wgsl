// Dot products of many short questions with every row of a long table.
//
//   y[t, first_row + n] = sum_c x[t, c] table[n, c]
//
// x: (n_tokens, pitch)    table: (n_rows, pitch)    y: (n_tokens, y_pitch)
//
// A cluster of 8 lanes keeps QUESTIONS rows of x in its registers and takes ROWS rows of the table past
// them, so that each number that is read serves all of the questions. On a software driver what the
// registers cannot hold lies in the first cache, which is far cheaper to read than a buffer.
import package::cluster::{Lane, lane_of, cluster_of, cluster_sums8};
import package::config::{CHUNKS, CLUSTERS, QUADS, QUADS_MAX, QUESTIONS, QUESTION_QUADS, QUESTION_TAILS, ROWS, TAIL, TAILS, WG_SIZE};

struct Params {
    n_tokens: u32,
    n_rows: u32,
    // From one row to the next, in quads.
    pitch: u32,
    // From one row of y to the next, and where this part of the table begins in it.
    y_pitch: u32,
    first_row: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG_SIZE)
fn cosines(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let first_question = workgroup.y * QUESTIONS;
    let first = (workgroup.x * CLUSTERS + cluster_of(lane)) * ROWS;
    let tail_quad = 8u * QUADS + (index >> 2u);

    // A lane has quads index, index + 8, .. of a row and, where these leave a rest, single elements.
    var q: array<vec4<f32>, QUESTION_QUADS>;
    var q_tail: array<f32, QUESTION_TAILS>;
    for (var t = 0u; t < QUESTIONS; t++) { // unroll
        // Past the last question the work is repeated and not stored: lanes stay together.
        let row = min(first_question + t, params.n_tokens - 1u) * params.pitch;
        for (var c = 0u; c < QUADS; c++) { // unroll
            q[t * QUADS + c] = x[row + index + 8u * c];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            q_tail[t * TAIL + s] = x[row + tail_quad + 2u * s][index & 3u];
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let n = first + r;
        let row = min(n, params.n_rows - 1u) * params.pitch;
        var v: array<vec4<f32>, QUADS_MAX>;
        var v_tail: array<f32, TAILS>;
        for (var c = 0u; c < QUADS; c++) { // unroll
            v[c] = table[row + index + 8u * c];
        }
        for (var s = 0u; s < TAIL; s++) { // unroll
            v_tail[s] = table[row + tail_quad + 2u * s][index & 3u];
        }
        var dots: array<f32, QUESTIONS>;
        for (var t = 0u; t < QUESTIONS; t++) { // unroll
            var sum = 0.0;
            for (var c = 0u; c < QUADS; c++) { // unroll
                sum += dot(q[t * QUADS + c], v[c]);
            }
            for (var s = 0u; s < TAIL; s++) { // unroll
                sum += q_tail[t * TAIL + s] * v_tail[s];
            }
            dots[t] = sum;
        }
        for (var j = 0u; j < CHUNKS; j++) { // unroll
            let sum = cluster_sums8(
                vec4<f32>(dots[8u * j], dots[8u * j + 1u], dots[8u * j + 2u], dots[8u * j + 3u]),
                vec4<f32>(dots[8u * j + 4u], dots[8u * j + 5u], dots[8u * j + 6u], dots[8u * j + 7u]),
                lane,
            );
            let token = first_question + 8u * j + index;
            if n < params.n_rows && token < params.n_tokens {
                y[token * params.y_pitch + params.first_row + n] = sum;
            }
        }
    }
}
