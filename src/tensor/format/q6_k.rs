//! Q6_K: 16 half blocks of 16 weights of 6 bits under one f16. `w = (d s) (q - 32)`, i8 s per half block
//!
//! ```text
//! file, 210 bytes       | low: 128 bytes | high: 64 bytes | s: 16 x i8 | d: f16 |
//!   block b = 4 h + k (h: 0..2, k: 0..4), element l: 0..32
//!   low                 byte 64 h + 32 (k & 1) + l, low nibble for k < 2, else high
//!   high                byte 32 h + l, bits 2 k, 2 k + 1 = bits 4, 5 of the quant
//!   s                   s[2 b] for elements 0..16, s[2 b + 1] for elements 16..32
//! plane `quants`        tiles (see `bits`) of 4 words, nibbles by quads (see `bits`)
//! plane `high bits`     [block][half][row 0..4] of 1 word, two bits each by quads
//! plane `scales`        [block] of 2 words: s of the first half of rows 0..4, one byte each; of the second
//! plane `super-scales`  [super-block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q6_K.

use super::bits::{
    byte, each_block, f16_at, gather_nibbles, gather_two_bits, half, nibble, planes_of, planes_of_mut,
    put_byte, put_half, tile_unit, two_bits, u16_at,
};
use super::{Format, Plane};

pub const Q6_K: Format = Format {
    name: "Q6_K",
    gguf_type: 14,
    block_len: 256,
    block_bytes: 210,
    dequantise,
    quantise: None,
    planes: &[
        Plane::by_rows("quants", 16),
        Plane::per_block("high bits", 8),
        Plane::per_block("scales", 2),
        Plane::per_super_block("super-scales", 2),
    ],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q6_k.wgsl", include_str!("../../../shaders/weight/q6_k.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 208);
    for (b, out) in out.chunks_exact_mut(32).enumerate() {
        let (h, k) = (b / 4, b % 4);
        for (l, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(block[192 + 2 * b + l / 16] as i8);
            let nibble = (block[64 * h + 32 * (k & 1) + l] >> (4 * (k >> 1))) & 0xF;
            let high = (block[128 + 32 * h + l] >> (2 * k)) & 3;
            *out = scale * (f32::from(nibble + 16 * high) - 32.0);
        }
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, high_bits, scales, super_scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 210) {
        put_half(super_scales, index * 4 + row, u16_at(block, 208));
        for b in 0..8 {
            let at = 8 * index + b;
            let (h, k) = (b / 4, b % 4);
            let words = gather_nibbles(&block[64 * h + 32 * (k & 1)..], 4 * (k >> 1));
            quants[4 * tile_unit(row, at, n_blocks, 0, 1)..][..4].copy_from_slice(&words);
            for side in 0..2 {
                put_byte(scales, at * 8 + 4 * side + row, block[192 + 2 * b + side]);
                high_bits[at * 8 + 4 * side + row] =
                    gather_two_bits(&block[128 + 32 * h + 16 * side..], 2 * k);
            }
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, high_bits, scales, super_scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let d = half(super_scales, index / 8 * 4 + row);
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            let at = index * 8 + 4 * (e / 16) + row;
            let scale = d * f32::from(byte(scales, at) as i8);
            let quant = nibble(words, e) + 16 * two_bits(high_bits[at], e % 16);
            *out = scale * (quant as f32 - 32.0);
        }
    }
}
