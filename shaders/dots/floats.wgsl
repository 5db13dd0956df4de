// Plays `dots`: dot products of 2 rows of a weight with a block each of COLS tokens, in f32.
//
// The activations stay in memory and a weight in a register while all tokens are multiplied by it;
// each sum runs over its elements in their order, whatever COLS is.
import package::block::Block;
import package::config::COLS;
import package::input::x_block;
import package::weight::{Weights, prepare, quad, scaled};

alias Operand = Block;

// Block `block` of the row of `n_quads` quads that begins at quad `row`.
fn operand(row: u32, block: u32, n_quads: u32) -> Operand {
    return prepare(x_block(row, block, n_quads));
}

fn dots(w: Weights, x: ptr<function, array<Operand, COLS>>) -> array<vec2<f32>, COLS> {
    var low: array<vec2<f32>, COLS>;
    var high: array<vec2<f32>, COLS>;
    for (var r = 0u; r < 2u; r++) { // unroll
        for (var i = 0u; i < 4u; i++) { // unroll
            let q = quad(w, r, i);
            for (var c = 0u; c < COLS; c++) { // unroll
                low[c][r] += q.x * x[c].v[i].x;
                low[c][r] += q.y * x[c].v[i].y;
                low[c][r] += q.z * x[c].v[i].z;
                low[c][r] += q.w * x[c].v[i].w;
            }
        }
        for (var i = 0u; i < 4u; i++) { // unroll
            let q = quad(w, r, 4u + i);
            for (var c = 0u; c < COLS; c++) { // unroll
                high[c][r] += q.x * x[c].v[4u + i].x;
                high[c][r] += q.y * x[c].v[4u + i].y;
                high[c][r] += q.z * x[c].v[4u + i].z;
                high[c][r] += q.w * x[c].v[4u + i].w;
            }
        }
    }
    var sums: array<vec2<f32>, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        sums[c] = scaled(w, low[c], high[c], x[c].sum_low, x[c].sum_high);
    }
    return sums;
}
