// Plays `dots`: dot products of 2 rows of a weight of bytes with a block each of COLS tokens, in integers.
// Sums are exact, so that their order is none.
import package::byte_operand::{Operand, operand};
import package::config::COLS;
import package::weight::{Weights, bytes, scaled};

fn dots(w: Weights, x: ptr<function, array<Operand, COLS>>) -> array<vec2<f32>, COLS> {
    var sums: array<vec2<f32>, COLS>;
    for (var r = 0u; r < 2u; r++) { // unroll
        var sum: array<i32, COLS>;
        for (var i = 0u; i < 8u; i++) { // unroll
            let q = bytes(w, r, i);
            for (var c = 0u; c < COLS; c++) { // unroll
                sum[c] += q.x * x[c].v[i].x;
                sum[c] += q.y * x[c].v[i].y;
                sum[c] += q.z * x[c].v[i].z;
                sum[c] += q.w * x[c].v[i].w;
            }
        }
        for (var c = 0u; c < COLS; c++) { // unroll
            sums[c][r] = f32(sum[c]);
        }
    }
    for (var c = 0u; c < COLS; c++) { // unroll
        sums[c] = x[c].scale * scaled(w, sums[c], vec2<f32>(0.0), x[c].low, x[c].high);
    }
    return sums;
}
