// Q4_K: super-blocks of 8 blocks of 32 weights of 4 bits. w = (d s) q - (dmin m)
//
//   quants         tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   scales         [block] of vec2<u32>: s of rows 0..4, one byte each; m of rows 0..4
//   super scales   [super-block] of vec4<u32>: d (low half), dmin (high half) of row r in word r
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q4_K.
import package::block::Block;
import package::bytes::{bytes_in_place, bytes_unsigned, scaled_for_bytes};
import package::halves::{low_halves, high_halves};
import package::nibbles::{nibble_pairs, nibble_quad, nibbles_of};
import package::band::{block_unit, super_unit, tile_pair, tile_unit, tile_width};
import package::pair::{pair_bytes, pair_words};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;
@group(1) @binding(2) var<storage, read> weight_super_scales: array<vec4<u32>>;

// What a lane needs of 2 rows and one block.
struct Weights {
    rows: array<vec4<u32>, 2>,
    scales: vec2<u32>,
    super_scales: vec2<u32>,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 1u);
    let scales_at = block_unit(group, block, n_blocks);
    let super_at = super_unit(group, block, n_blocks);
    return Weights(
        array<vec4<u32>, 2>(weight_quants[at], weight_quants[at + width]),
        pair_bytes(weight_scales[scales_at], pair),
        pair_words(weight_super_scales[super_at], pair),
    );
}

// The activations as `quad` takes them.
fn prepare(x: Block) -> Block {
    return scaled_for_bytes(x);
}

// Elements 4 i .. 4 i + 4 of row r, by which prepared activations are multiplied.
fn quad(w: Weights, r: u32, i: u32) -> vec4<f32> {
    return bytes_in_place(nibbles_of(w.rows[r], i));
}

// Elements of word j of both rows, as `nibble_pairs` gives them.
fn pairs(w: Weights, j: u32) -> array<u32, 8> {
    return nibble_pairs(w.rows[0][j], w.rows[1][j]);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return (low_halves(w.super_scales) * bytes_unsigned(w.scales.x).xy) * (low + high)
        - (high_halves(w.super_scales) * bytes_unsigned(w.scales.y).xy) * (x_low + x_high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let quants = nibble_quad(weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)][part & 3u], part);
    let scales = (weight_scales[scales_at] >> vec2<u32>(8u * (row & 3u))) & vec2<u32>(0xFFu);
    let scale_and_min = unpack2x16float(weight_super_scales[super_at][row & 3u]) * vec2<f32>(scales);
    return scale_and_min.x * bytes_unsigned(quants) - scale_and_min.y;
}
