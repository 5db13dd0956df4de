// Plays `quants`: Q6_K as bytes for packed dot products. w = (d s) (q - 32)
import package::band::{block_unit, super_unit, tile_unit};
import package::bytes::bytes_signed;
import package::halves::one_half;
import package::two_bits::two_bits_at_4;
import package::weight::{weight_high_bits, weight_quants, weight_scales, weight_super_scales};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    let q = (weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)] >> vec4<u32>(4u * half)) & vec4<u32>(0x0F0F0F0Fu);
    return q | two_bits_at_4(weight_high_bits[2u * block_unit(row >> 2u, block, n_blocks) + half][row & 3u]);
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let pair = weight_scales[block_unit(row >> 2u, block, n_blocks)] >> vec2<u32>(8u * (row & 3u));
    let d = one_half(weight_super_scales[super_at][(row >> 1u) & 1u], row);
    let s = d * vec2<f32>(bytes_signed(pair.x).x, bytes_signed(pair.y).x);
    return vec4<f32>(s, -32.0 * s);
}
