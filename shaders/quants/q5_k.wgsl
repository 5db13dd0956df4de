// Plays `quants`: Q5_K as bytes for packed dot products. w = (d s) q - (dmin m)
import package::band::{block_unit, super_unit, tile_unit};
import package::nibbles::{fifth_bits_high, fifth_bits_low};
import package::weight::{weight_high_bits, weight_quants, weight_scales, weight_super_scales};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    let q = (weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)] >> vec4<u32>(4u * half)) & vec4<u32>(0x0F0F0F0Fu);
    let h = weight_high_bits[block_unit(row >> 2u, block, n_blocks)][row & 3u];
    return q | select(fifth_bits_low(h), fifth_bits_high(h), half == 1u);
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let pair = (weight_scales[block_unit(row >> 2u, block, n_blocks)] >> vec2<u32>(8u * (row & 3u))) & vec2<u32>(0xFFu);
    let v = unpack2x16float(weight_super_scales[super_at][row & 3u]) * vec2<f32>(pair);
    return vec4<f32>(v.x, v.x, -v.y, -v.y);
}
