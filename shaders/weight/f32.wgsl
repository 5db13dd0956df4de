// Weights stored as F32: `w` is the word.
//
//   quants   tiles (band.wgsl) of 8 vec4<u32>: element e of the block in word e
//
// Source: GGUF type table.
import package::block::Block;
import package::band::{tile_pair, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

// What a lane needs of 2 rows and one block.
struct Weights {
    // Part p of row r at 8 r + p.
    parts: array<vec4<u32>, 16>,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 8u);
    var parts: array<vec4<u32>, 16>;
    for (var p = 0u; p < 16u; p++) { // unroll
        parts[p] = weight_quants[at + p * width];
    }
    return Weights(parts);
}

// The activations as `quad` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Elements 4 i .. 4 i + 4 of row r, by which prepared activations are multiplied.
fn quad(w: Weights, r: u32, i: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(w.parts[8u * r + i]);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return low + high;
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(weight_quants[tile_unit(row, quad >> 3u, n_blocks, quad & 7u, 8u)]);
}
