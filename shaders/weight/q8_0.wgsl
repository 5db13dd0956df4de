// Q8_0: 32 signed bytes and a scale. w = d q
//
//   quants   tiles (band.wgsl) of 2 vec4<u32>: element e of the block in byte e
//   scales   [block] of vec2<u32>: f16 d of rows 0, 1 in word 0; of rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q8_0.
import package::block::Block;
import package::bytes::bytes_signed;
import package::halves::one_half;
import package::band::{block_unit, tile_pair, tile_unit, tile_width};
import package::pair::pair_word;

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;

// What a lane needs of 2 rows and one block.
struct Weights {
    // Part p of row r at 2 r + p.
    parts: array<vec4<u32>, 4>,
    scales: u32,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 2u);
    var parts: array<vec4<u32>, 4>;
    for (var p = 0u; p < 4u; p++) { // unroll
        parts[p] = weight_quants[at + p * width];
    }
    return Weights(parts, pair_word(weight_scales[block_unit(group, block, n_blocks)], pair));
}

// The activations as `quad` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Elements 4 i .. 4 i + 4 of row r, by which prepared activations are multiplied.
fn quad(w: Weights, r: u32, i: u32) -> vec4<f32> {
    return bytes_signed(w.parts[2u * r + (i >> 2u)][i & 3u]);
}

// Elements 4 i .. 4 i + 4 of row r as integers.
fn bytes(w: Weights, r: u32, i: u32) -> vec4<i32> {
    return unpack4xI8(w.parts[2u * r + (i >> 2u)][i & 3u]);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return unpack2x16float(w.scales) * (low + high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let word = weight_quants[tile_unit(row, block, n_blocks, (quad >> 2u) & 1u, 2u)][quad & 3u];
    let scales = weight_scales[block_unit(row >> 2u, block, n_blocks)][(row >> 1u) & 1u];
    return one_half(scales, row) * bytes_signed(word);
}
