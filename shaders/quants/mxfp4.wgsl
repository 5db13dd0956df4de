// Plays `quants`: MXFP4 as bytes for packed dot products. w = 2^e level(q)
import package::band::{block_unit, tile_unit};
import package::levels::levels_of;
import package::weight::{WEIGHT_LEVELS, powers_of_two, weight_exponents, weight_quants};

// Quants 16 * half .. 16 * half + 16 of a block, one per byte, signed.
fn quants_of(row: u32, block: u32, half: u32, n_blocks: u32) -> vec4<u32> {
    let q = (weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)] >> vec4<u32>(4u * half)) & vec4<u32>(0x0F0F0F0Fu);
    return vec4<u32>(
        pack4xI8(vec4<i32>(levels_of(q.x, WEIGHT_LEVELS))),
        pack4xI8(vec4<i32>(levels_of(q.y, WEIGHT_LEVELS))),
        pack4xI8(vec4<i32>(levels_of(q.z, WEIGHT_LEVELS))),
        pack4xI8(vec4<i32>(levels_of(q.w, WEIGHT_LEVELS))),
    );
}

// (s of the first half, s of the second, m of the first, m of the second): w = s q + m
fn scales_of(row: u32, block: u32, n_blocks: u32) -> vec4<f32> {
    let exponent = (weight_exponents[block_unit(row >> 2u, block, n_blocks)] >> (8u * (row & 3u))) & 0xFFu;
    let d = powers_of_two(exponent).x;
    return vec4<f32>(d, d, 0.0, 0.0);
}
