// Plays `input`: the activations of a matrix product, stored as f16 in an image of 8 to a texel, read
// by blocks of 32.
import package::block::{Block, block_of};
import package::config::X_IS_BLOCKS;

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

// Elements 32 * block .. 32 * block + 32 of the row of `n_quads` quads that begins at quad `row`; both
// are even. Past the end of a row the last 8 elements are repeated: the weights there are zero.
fn x_block(row: u32, block: u32, n_quads: u32) -> Block {
    let first = row / 2u + 4u * block;
    let last = (row + n_quads) / 2u - 1u;
    var v: array<vec4<f32>, 8>;
    for (var i = 0u; i < 4u; i++) { // unroll
        let octet = x[select(min(first + i, last), first + i, X_IS_BLOCKS)];
        v[2u * i] = vec4<f32>(unpack2x16float(octet.x), unpack2x16float(octet.y));
        v[2u * i + 1u] = vec4<f32>(unpack2x16float(octet.z), unpack2x16float(octet.w));
    }
    return block_of(v);
}
