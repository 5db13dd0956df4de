// Plays `input`: the activations of a matrix product, stored as f32, read by blocks of 32.
import package::block::{Block, block_of};
import package::config::X_IS_BLOCKS;

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

// Elements 32 * block .. 32 * block + 32 of the row of `n_quads` quads that begins at quad `row`.
// Past the end of a row the last quad is repeated: the weights there are zero.
fn x_block(row: u32, block: u32, n_quads: u32) -> Block {
    let first = row + 8u * block;
    let last = row + n_quads - 1u;
    var v: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) { // unroll
        v[i] = x[select(min(first + i, last), first + i, X_IS_BLOCKS)];
    }
    return block_of(v);
}
