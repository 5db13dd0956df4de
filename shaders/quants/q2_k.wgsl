// Plays `quants`: Q2_K as bytes for packed dot products. w = (d s) q - (dmin m)
import package::band::{block_unit, super_unit};
import package::two_bits::two_bits_at_0;
import package::weight::{weight_quants, weight_scales, weight_super_scales};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    return two_bits_at_0(weight_quants[2u * block_unit(row >> 2u, block, n_blocks) + half][row & 3u]);
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let pair = weight_scales[block_unit(row >> 2u, block, n_blocks)] >> vec2<u32>(8u * (row & 3u));
    let v = unpack2x16float(weight_super_scales[super_at][row & 3u]);
    let s = vec2<f32>(pair & vec2<u32>(0xFu));
    let m = vec2<f32>((pair >> vec2<u32>(4u)) & vec2<u32>(0xFu));
    return vec4<f32>(v.x * s, -v.y * m);
}
