// Q6_K: super-blocks of 16 half blocks of 16 weights of 6 bits. w = (d s) (q - 32)
//
//   quants         tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   high bits      [block][half] of vec4<u32>: the two-bit words (two_bits.wgsl) of rows 0..4
//   scales         [block] of vec2<u32>: i8 s of the first half of rows 0..4; of the second
//   super scales   [super-block] of vec2<u32>: f16 d of rows 0, 1 in word 0; rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q6_K.
import package::block::Block;
import package::bytes::{bytes_signed, bytes_unsigned, dot_bytes_low, dot_bytes_high, scaled_for_bytes};
import package::halves::{four_halves, one_half};
import package::nibbles::{high_nibbles, low_nibbles, nibble_quad};
import package::two_bits::{two_bit_quad, two_bits_at_4};
import package::band::{block_unit, super_unit, tile_first, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_high_bits: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read> weight_scales: array<vec2<u32>>;
@group(1) @binding(3) var<storage, read> weight_super_scales: array<vec2<u32>>;

// What a lane needs of 4 rows and one block.
struct Weights {
    row_0: vec4<u32>,
    row_1: vec4<u32>,
    row_2: vec4<u32>,
    row_3: vec4<u32>,
    high_0: vec4<u32>,
    high_1: vec4<u32>,
    scales: vec2<u32>,
    super_scales: vec2<u32>,
}

// Blocks `block` of the 4 rows of `group`.
fn load_weights(group: u32, block: u32, n_blocks: u32) -> Weights {
    let at = tile_first(group, block, n_blocks, 1u);
    let width = tile_width(block, n_blocks);
    let scales_at = block_unit(group, block, n_blocks);
    let super_at = super_unit(group, block, n_blocks);
    return Weights(
        weight_quants[at],
        weight_quants[at + width],
        weight_quants[at + 2u * width],
        weight_quants[at + 3u * width],
        weight_high_bits[2u * scales_at],
        weight_high_bits[2u * scales_at + 1u],
        weight_scales[scales_at],
        weight_super_scales[super_at],
    );
}

// The activations as `dot4` takes them.
fn prepare(x: Block) -> Block {
    return scaled_for_bytes(x);
}

// Dot products of 4 rows with 32 prepared activations.
fn dot4(w: Weights, x: Block) -> vec4<f32> {
    let sums_0 = vec4<f32>(
        dot_bytes_low(low_nibbles(w.row_0) | two_bits_at_4(w.high_0.x), x),
        dot_bytes_low(low_nibbles(w.row_1) | two_bits_at_4(w.high_0.y), x),
        dot_bytes_low(low_nibbles(w.row_2) | two_bits_at_4(w.high_0.z), x),
        dot_bytes_low(low_nibbles(w.row_3) | two_bits_at_4(w.high_0.w), x),
    );
    let sums_1 = vec4<f32>(
        dot_bytes_high(high_nibbles(w.row_0) | two_bits_at_4(w.high_1.x), x),
        dot_bytes_high(high_nibbles(w.row_1) | two_bits_at_4(w.high_1.y), x),
        dot_bytes_high(high_nibbles(w.row_2) | two_bits_at_4(w.high_1.z), x),
        dot_bytes_high(high_nibbles(w.row_3) | two_bits_at_4(w.high_1.w), x),
    );
    return four_halves(w.super_scales)
        * (bytes_signed(w.scales.x) * (sums_0 - 32.0 * x.sum_low) + bytes_signed(w.scales.y) * (sums_1 - 32.0 * x.sum_high));
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
