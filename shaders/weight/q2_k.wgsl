// Q2_K: super-blocks of 16 half blocks of 16 weights of 2 bits. w = (d s) q - (dmin m)
//
//   quants         [block][half] of vec4<u32>: the two-bit words (two_bits.wgsl) of rows 0..4
//   scales         [block] of vec2<u32>: s (low nibble), m (high) of the first half of rows 0..4,
//                  one byte each; of the second half
//   super scales   [super-block] of vec4<u32>: d (low half), dmin (high half) of row r in word r
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q2_K.
import package::block::Block;
import package::bytes::{bytes_in_place, bytes_unsigned, scaled_for_bytes};
import package::halves::{low_halves, high_halves};
import package::two_bits::two_bit_quad;
import package::band::{block_unit, super_unit};
import package::pair::{pair_bytes, pair_words};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;
@group(1) @binding(2) var<storage, read> weight_super_scales: array<vec4<u32>>;

// What a lane needs of 2 rows and one block.
struct Weights {
    // Of elements 0..16 and 16..32.
    quants: array<vec2<u32>, 2>,
    scales: vec2<u32>,
    super_scales: vec2<u32>,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let scales_at = block_unit(group, block, n_blocks);
    let super_at = super_unit(group, block, n_blocks);
    return Weights(
        array<vec2<u32>, 2>(
            pair_words(weight_quants[2u * scales_at], pair),
            pair_words(weight_quants[2u * scales_at + 1u], pair),
        ),
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
    return bytes_in_place(two_bit_quad(w.quants[i >> 2u][r], i));
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    let scales = w.scales & vec2<u32>(0x0F0F0F0Fu);
    let mins = (w.scales >> vec2<u32>(4u)) & vec2<u32>(0x0F0F0F0Fu);
    return low_halves(w.super_scales) * (bytes_unsigned(scales.x).xy * low + bytes_unsigned(scales.y).xy * high)
        - high_halves(w.super_scales) * (bytes_unsigned(mins.x).xy * x_low + bytes_unsigned(mins.y).xy * x_high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let side = part >> 2u;
    let quants = two_bit_quad(weight_quants[2u * scales_at + side][row & 3u], part);
    let pair = (weight_scales[scales_at][side] >> (8u * (row & 3u))) & 0xFFu;
    let scale_and_min = unpack2x16float(weight_super_scales[super_at][row & 3u])
        * vec2<f32>(vec2<u32>(pair & 0xFu, pair >> 4u));
    return scale_and_min.x * bytes_unsigned(quants) - scale_and_min.y;
}
