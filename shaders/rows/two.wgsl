// Plays `rows`: a product takes a pair (pair.wgsl) of the rows of a group at once. For many tokens: what
// drivers write out for 4 rows and 8 tokens is 20 KB, more than the decoded instructions that a core keeps.
import package::cluster::{Lane, cluster_pair2};
import package::config::COLS;
import package::dots::{Operand, dots};
import package::weight::load_weights;

alias Rows = vec2<f32>;

// Dot products of pair `part` of `group` with block `block` of COLS tokens.
fn products(
    group: u32,
    part: u32,
    block: u32,
    n_blocks: u32,
    x: ptr<function, array<Operand, COLS>>,
) -> array<Rows, COLS> {
    let made = dots(load_weights(group, part, block, n_blocks), x);
    var all: array<Rows, COLS>;
    for (var c = 0u; c < COLS; c++) { // unroll
        all[c] = made[c];
    }
    return all;
}

// As cluster_pair4.
fn cluster_pair(a: Rows, b: Rows, mask: u32, lane: Lane) -> Rows {
    return cluster_pair2(a, b, mask, lane);
}

// The group's rows from those of the first and the last part.
fn whole(first: Rows, last: Rows) -> array<vec4<f32>, 1> {
    return array<vec4<f32>, 1>(vec4<f32>(first, last));
}
