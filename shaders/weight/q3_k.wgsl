// Q3_K: super-blocks of 16 half blocks of 16 weights of 3 bits. w = (d s) (q - 4)
//
//   quants         [block][half] of vec4<u32>: the two-bit words (two_bits.wgsl) of rows 0..4
//   high bits      [block] of vec4<u32>: the one-bit words (nibbles.wgsl) of rows 0..4
//   scales         [block] of vec2<u32>: i8 s of the first half of rows 0..4; of the second
//   super scales   [super-block] of vec2<u32>: f16 d of rows 0, 1 in word 0; rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q3_K.
import package::block::Block;
import package::bytes::{bytes_signed, bytes_unsigned, dot_bytes_low, dot_bytes_high, scaled_for_bytes};
import package::halves::{four_halves, one_half};
import package::nibbles::bit_quad;
import package::two_bits::{two_bit_quad, two_bits_at_0};
import package::band::{block_unit, super_unit};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_high_bits: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read> weight_scales: array<vec2<u32>>;
@group(1) @binding(3) var<storage, read> weight_super_scales: array<vec2<u32>>;

// The one-bit word of a block as bit 2 of each byte of its low half.
fn third_bits_low(h: u32) -> vec4<u32> {
    return vec4<u32>(h << 2u, h << 1u, h, h >> 1u) & vec4<u32>(0x04040404u);
}

fn third_bits_high(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) >> vec4<u32>(2u, 3u, 4u, 5u)) & vec4<u32>(0x04040404u);
}

// What a lane needs of 4 rows and one block.
struct Weights {
    quants_0: vec4<u32>,
    quants_1: vec4<u32>,
    high: vec4<u32>,
    scales: vec2<u32>,
    super_scales: vec2<u32>,
}

// Blocks `block` of the 4 rows of `group`.
fn load_weights(group: u32, block: u32, n_blocks: u32) -> Weights {
    let scales_at = block_unit(group, block, n_blocks);
    let super_at = super_unit(group, block, n_blocks);
    return Weights(
        weight_quants[2u * scales_at],
        weight_quants[2u * scales_at + 1u],
        weight_high_bits[scales_at],
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
        dot_bytes_low(two_bits_at_0(w.quants_0.x) | third_bits_low(w.high.x), x),
        dot_bytes_low(two_bits_at_0(w.quants_0.y) | third_bits_low(w.high.y), x),
        dot_bytes_low(two_bits_at_0(w.quants_0.z) | third_bits_low(w.high.z), x),
        dot_bytes_low(two_bits_at_0(w.quants_0.w) | third_bits_low(w.high.w), x),
    );
    let sums_1 = vec4<f32>(
        dot_bytes_high(two_bits_at_0(w.quants_1.x) | third_bits_high(w.high.x), x),
        dot_bytes_high(two_bits_at_0(w.quants_1.y) | third_bits_high(w.high.y), x),
        dot_bytes_high(two_bits_at_0(w.quants_1.z) | third_bits_high(w.high.z), x),
        dot_bytes_high(two_bits_at_0(w.quants_1.w) | third_bits_high(w.high.w), x),
    );
    return four_halves(w.super_scales)
        * (bytes_signed(w.scales.x) * (sums_0 - 4.0 * x.sum_low) + bytes_signed(w.scales.y) * (sums_1 - 4.0 * x.sum_high));
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let side = part >> 2u;
    let quants = two_bit_quad(weight_quants[2u * scales_at + side][row & 3u], part)
        | (bit_quad(weight_high_bits[scales_at][row & 3u], part) << 2u);
    let scale = one_half(weight_super_scales[super_at][(row >> 1u) & 1u], row)
        * bytes_signed(weight_scales[scales_at][side] >> (8u * (row & 3u))).x;
    return scale * (bytes_unsigned(quants) - 4.0);
}
