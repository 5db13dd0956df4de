// Plays `quants`: Q3_K as bytes for packed dot products. w = (d s) (q - 4)
import package::band::{block_unit, super_unit};
import package::bytes::bytes_signed;
import package::halves::one_half;
import package::nibbles::{fifth_bits_high, fifth_bits_low};
import package::two_bits::two_bits_at_0;
import package::weight::{weight_high_bits, weight_quants, weight_scales, weight_super_scales};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    let at = block_unit(row >> 2u, block, n_blocks);
    let q = two_bits_at_0(weight_quants[2u * at + half][row & 3u]);
    let h = weight_high_bits[at][row & 3u];
    // The bit that counts 4 stands where a fifth bit would, two places higher.
    return q | (select(fifth_bits_low(h), fifth_bits_high(h), half == 1u) >> vec4<u32>(2u));
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let super_at = super_unit(row >> 2u, block, n_blocks);
    let pair = weight_scales[block_unit(row >> 2u, block, n_blocks)] >> vec2<u32>(8u * (row & 3u));
    let d = one_half(weight_super_scales[super_at][(row >> 1u) & 1u], row);
    let s = d * vec2<f32>(bytes_signed(pair.x).x, bytes_signed(pair.y).x);
    return vec4<f32>(s, -4.0 * s);
}
