// Weights stored as F16, two per word.
//
//   quants   tiles (band.wgsl) of 4 vec4<u32>: elements 2 w (low half), 2 w + 1 (high half) in word w
//
// Source: GGUF type table, IEEE 754 binary16.
import package::block::Block;
import package::band::{tile_pair, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

fn half_pairs(low: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(low), unpack2x16float(high));
}

// What a lane needs of 2 rows and one block.
struct Weights {
    // Part p of row r at 4 r + p.
    parts: array<vec4<u32>, 8>,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 4u);
    var parts: array<vec4<u32>, 8>;
    for (var p = 0u; p < 8u; p++) { // unroll
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
    let part = w.parts[4u * r + (i >> 1u)];
    let word = 2u * (i & 1u);
    return half_pairs(part[word], part[word + 1u]);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return low + high;
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let at = tile_unit(row, quad >> 3u, n_blocks, (quad >> 1u) & 3u, 4u);
    let word = 2u * (quad & 1u);
    return half_pairs(weight_quants[at][word], weight_quants[at][word + 1u]);
}
