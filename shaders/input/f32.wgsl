// Plays `input`: the activations of a matrix product, stored as f32, read by blocks of 32.
import package::block::Block;
import package::config::X_IS_BLOCKS;

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

// Elements 32 * block .. 32 * block + 32 of the row of `n_quads` quads that begins at quad `row`.
// Past the end of a row the last quad is repeated: the weights there are zero.
fn x_block(row: u32, block: u32, n_quads: u32) -> Block {
    let at = row + 8u * block;
    let last = row + n_quads - 1u;
    var b: Block;
    if X_IS_BLOCKS {
        b = Block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u], 0.0, 0.0);
    } else {
        b = Block(
            x[at],
            x[min(at + 1u, last)],
            x[min(at + 2u, last)],
            x[min(at + 3u, last)],
            x[min(at + 4u, last)],
            x[min(at + 5u, last)],
            x[min(at + 6u, last)],
            x[min(at + 7u, last)],
            0.0,
            0.0,
        );
    }
    b.sum_low = dot((b.v0 + b.v1) + (b.v2 + b.v3), vec4<f32>(1.0));
    b.sum_high = dot((b.v4 + b.v5) + (b.v6 + b.v7), vec4<f32>(1.0));
    return b;
}
