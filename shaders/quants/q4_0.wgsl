// Plays `quants`: Q4_0 as bytes for packed dot products. w = d (q - 8)
import package::band::{block_unit, tile_unit};
import package::halves::one_half;
import package::weight::{weight_quants, weight_scales};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    let q = weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)];
    return (q >> vec4<u32>(4u * half)) & vec4<u32>(0x0F0F0F0Fu);
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let d = one_half(weight_scales[block_unit(row >> 2u, block, n_blocks)][(row >> 1u) & 1u], row);
    return vec4<f32>(d, d, -8.0 * d, -8.0 * d);
}
