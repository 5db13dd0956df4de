// Plays `rows`: a product takes the 4 rows of a group at once.
import package::config::COLS;
import package::dots::{Operand, dots};
import package::weight::load_weights;

alias Rows = vec4<f32>;

// Dot products of a part of `group`, which is all of it, with block `block` of COLS tokens.
fn products(
    group: u32,
    part: u32,
    block: u32,
    n_blocks: u32,
    x: ptr<function, array<Operand, COLS>>,
) -> array<Rows, COLS> {
    // All loads first: memory answers while the first pair is multiplied.
    let first_pair = load_weights(group, 0u, block, n_blocks);
    let second_pair = load_weights(group, 1u, block, n_blocks);
    let first = dots(first_pair, x);
    let second = dots(second_pair, x);
    var all: array<Rows, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        all[c] = vec4<f32>(first[c], second[c]);
    }
    return all;
}
