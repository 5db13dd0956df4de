// Q6_K: super-blocks of 16 half blocks of 16 weights of 6 bits. w = (d s) (q - 32)
//
//   quants         tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   high bits      [block][half] of vec4<u32>: the two-bit words (two_bits.wgsl) of rows 0..4
//   scales         [block] of vec2<u32>: i8 s of the first half of rows 0..4; of the second
//   super scales   [super-block] of vec2<u32>: f16 d of rows 0, 1 in word 0; rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q6_K.
import package::block::Block;
import package::bytes::{bytes_in_place, bytes_signed, bytes_unsigned, scaled_for_bytes};
import package::halves::one_half;
import package::nibbles::{nibble_quad, nibbles_of};
import package::two_bits::{two_bit_quad, two_bits_at_4};
import package::band::{block_unit, super_unit, tile_pair, tile_unit, tile_width};
import package::pair::{pair_bytes, pair_word, pair_words};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_high_bits: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read> weight_scales: array<vec2<u32>>;
@group(1) @binding(3) var<storage, read> weight_super_scales: array<vec2<u32>>;

// What a lane needs of 2 rows and one block.
struct Weights {
    rows: array<vec4<u32>, 2>,
    // Of elements 0..16 and 16..32.
    high: array<vec2<u32>, 2>,
    scales: vec2<u32>,
    super_scales: u32,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 1u);
    let scales_at = block_unit(group, block, n_blocks);
    let super_at = super_unit(group, block, n_blocks);
    return Weights(
        array<vec4<u32>, 2>(weight_quants[at], weight_quants[at + width]),
        array<vec2<u32>, 2>(
            pair_words(weight_high_bits[2u * scales_at], pair),
            pair_words(weight_high_bits[2u * scales_at + 1u], pair),
        ),
        pair_bytes(weight_scales[scales_at], pair),
        pair_word(weight_super_scales[super_at], pair),
    );
}

// The activations as `quad` takes them.
fn prepare(x: Block) -> Block {
    return scaled_for_bytes(x);
}

// Elements 4 i .. 4 i + 4 of row r, by which prepared activations are multiplied.
fn quad(w: Weights, r: u32, i: u32) -> vec4<f32> {
    return bytes_in_place(nibbles_of(w.rows[r], i) | two_bits_at_4(w.high[i >> 2u][r])[i & 3u]);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return unpack2x16float(w.super_scales)
        * (bytes_signed(w.scales.x).xy * (low - 32.0 * x_low) + bytes_signed(w.scales.y).xy * (high - 32.0 * x_high));
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let side = part >> 2u;
    let quants = nibble_quad(weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)][part & 3u], part)
        | (two_bit_quad(weight_high_bits[2u * scales_at + side][row & 3u], part) << 4u);
    let scale = one_half(weight_super_scales[super_at][(row >> 1u) & 1u], row)
        * bytes_signed(weight_scales[scales_at][side] >> (8u * (row & 3u))).x;
    return scale * (bytes_unsigned(quants) - 32.0);
}
