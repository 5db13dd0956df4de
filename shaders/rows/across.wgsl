// Plays `rows`: a product takes a pair (pair.wgsl) of the rows of two groups at once, which lie side by side
// (band.wgsl). For up to 4 tokens.
import package::cluster::{Lane, cluster_pair4};
import package::config::COLS;
import package::dots::{Operand, dots};
import package::weight::load_weights;

alias Rows = vec4<f32>;

// Dot products of pair `part` of `group`, which is even, and of the next group with block `block` of COLS tokens.
fn products(
    group: u32,
    part: u32,
    block: u32,
    n_blocks: u32,
    x: ptr<function, array<Operand, COLS>>,
) -> array<Rows, COLS> {
    // All loads first: memory answers while the first pair is multiplied.
    let first_pair = load_weights(group, part, block, n_blocks);
    let second_pair = load_weights(group + 1u, part, block, n_blocks);
    let first = dots(first_pair, x);
    let second = dots(second_pair, x);
    var all: array<Rows, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        all[c] = vec4<f32>(first[c], second[c]);
    }
    return all;
}

// As cluster_pair4.
fn cluster_pair(a: Rows, b: Rows, mask: u32, lane: Lane) -> Rows {
    return cluster_pair4(a, b, mask, lane);
}

// The groups' rows from those of the first and the last part.
fn whole(first: Rows, last: Rows) -> array<vec4<f32>, 2> {
    return array<vec4<f32>, 2>(vec4<f32>(first.xy, last.xy), vec4<f32>(first.zw, last.zw));
}
