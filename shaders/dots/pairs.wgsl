// Plays `dots`: dot products of 2 rows of a weight with a block each of COLS tokens, both rows at once.
//
// The quants of two rows stand in the halves of a word, and one multiplication by a byte of the
// activations makes both products. A half holds 32,768 + a sum of products, which stays within 16 bits for
// 16 quants of 4 bits (15 * 127 * 16 = 30,480) and 8 of 5 bits (31 * 127 * 8 = 31,496): so a block is summed
// in SUMS parts of WORDS words of 8 quants each. Sums are exact, so that their order is none.
import package::byte_operand::{Operand, operand};
import package::config::{COLS, SUMS, WORDS};
import package::weight::{Weights, pairs, scaled};

fn dots(w: Weights, x: ptr<function, array<Operand, COLS>>) -> array<vec2<f32>, COLS> {
    var even: array<u32, COLS>;
    var odd: array<u32, COLS>;
    for (var s = 0u; s < SUMS; s++) { // unroll
        var both: array<u32, COLS>;
        for (var c = 0u; c < COLS; c++) { // unroll
            both[c] = 0x80008000u;
        }
        for (var j = 0u; j < WORDS; j++) { // unroll
            let q = pairs(w, s * WORDS + j);
            for (var f = 0u; f < 8u; f++) { // unroll
                for (var c = 0u; c < COLS; c++) { // unroll
                    let v = x[c].v[4u * (f & 1u) + s * WORDS + j][2u * (f >> 2u) + ((f >> 1u) & 1u)];
                    both[c] += q[f] * bitcast<u32>(v);
                }
            }
        }
        for (var c = 0u; c < COLS; c++) { // unroll
            even[c] += both[c] & 0xFFFFu;
            odd[c] += both[c] >> 16u;
        }
    }
    var sums: array<vec2<f32>, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        let offset = SUMS * 32768u;
        let sum = vec2<f32>(f32(bitcast<i32>(even[c] - offset)), f32(bitcast<i32>(odd[c] - offset)));
        sums[c] = x[c].scale * scaled(w, sum, vec2<f32>(0.0), x[c].low + x[c].high, 0.0);
    }
    return sums;
}
