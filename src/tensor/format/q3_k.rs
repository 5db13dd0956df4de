//! Q3_K: 16 half blocks of 16 weights of 3 bits under one f16. `w = (d s) (q - 4)`, 6-bit s - 32 per half
//!
//! ```text
//! file, 110 bytes       | high: 32 bytes | quants: 64 bytes | s: 12 bytes | d: f16 |
//!   block b = 4 h + k (h: 0..2, k: 0..4), element l: 0..32
//!   high                bit b of byte l = bit 2 of the quant
//!   quants              byte 32 h + l, bits 2 k, 2 k + 1
//!   s                   of half block i: 0..16, stored plus 32
//!     low 4 bits        byte i & 7, low nibble for i < 8, else high
//!     high 2 bits       byte 8 + (i & 3), bits 2 (i >> 2), 2 (i >> 2) + 1
//! plane `quants`        [block][half][row 0..4] of 1 word, two bits each by quads (see `bits`)
//! plane `high bits`     [block][row 0..4] of 1 word, one bit each by quads
//! plane `scales`        [block] of 2 words: s as i8 of the first half of rows 0..4, one byte each; of the
//!                       second
//! plane `super-scales`  [super-block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q3_K.

use super::bits::{
    byte, each_block, f16_at, gather_one_bit, gather_two_bits, half, one_bit, planes_of, planes_of_mut,
    put_byte, put_half, two_bits, u16_at,
};
use super::{Format, Plane};

pub const Q3_K: Format = Format {
    name: "Q3_K",
    gguf_type: 11,
    block_len: 256,
    block_bytes: 110,
    dequantise,
    quantise: None,
    planes: &[
        Plane::per_block("quants", 8),
        Plane::per_block("high bits", 4),
        Plane::per_block("scales", 2),
        Plane::per_super_block("super-scales", 2),
    ],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q3_k.wgsl", include_str!("../../../shaders/weight/q3_k.wgsl")),
};

/// The scale of half block `i: 0..16`, -32..32, in the 12 bytes of a file's block.
fn half_block_scale(bytes: &[u8], i: usize) -> i8 {
    let low = (bytes[i & 7] >> (4 * (i >> 3))) & 0xF;
    let high = (bytes[8 + (i & 3)] >> (2 * (i >> 2))) & 3;
    (low | (high << 4)) as i8 - 32
}

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 108);
    for (b, out) in out.chunks_exact_mut(32).enumerate() {
        for (l, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(half_block_scale(&block[96..108], 2 * b + l / 16));
            let low = (block[32 + 32 * (b / 4) + l] >> (2 * (b % 4))) & 3;
            let high = (block[l] >> b) & 1;
            *out = scale * (f32::from(low + 4 * high) - 4.0);
        }
    }
}

fn pack_group(rows: [&[u8]; 4], _n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, high_bits, scales, super_scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 110) {
        put_half(super_scales, index * 4 + row, u16_at(block, 108));
        for b in 0..8 {
            high_bits[(8 * index + b) * 4 + row] = gather_one_bit(&block[..32], b);
            for side in 0..2 {
                let at = (8 * index + b) * 8 + 4 * side + row;
                put_byte(scales, at, half_block_scale(&block[96..108], 2 * b + side) as u8);
                quants[at] = gather_two_bits(&block[32 + 32 * (b / 4) + 16 * side..], 2 * (b % 4));
            }
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, high_bits, scales, super_scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let d = half(super_scales, index / 8 * 4 + row);
        let high = high_bits[index * 4 + row];
        for (e, out) in out.iter_mut().enumerate() {
            let at = index * 8 + 4 * (e / 16) + row;
            let scale = d * f32::from(byte(scales, at) as i8);
            let quant = two_bits(quants[at], e % 16) + 4 * one_bit(high, e);
            *out = scale * (quant as f32 - 4.0);
        }
    }
}
