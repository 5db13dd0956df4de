//! Q5_K: 8 blocks of 32 weights of 5 bits under two f16. `w = (d s) q - (dmin m)`, 6-bit s, m per block
//!
//! ```text
//! file, 176 bytes       | d: f16 | dmin: f16 | s and m: 12 bytes | high: 32 bytes | quants: 128 bytes |
//!   quants              byte 32 p + l = element l of block 2 p (low nibble), of block 2 p + 1 (high)
//!   high                bit b of byte l = bit 4 of element l of block b
//!   s and m             as in Q4_K
//! plane `quants`        tiles (see `bits`) of 4 words, nibbles by quads (see `bits`)
//! plane `high bits`     [block][row 0..4] of 1 word, one bit each by quads
//! plane `scales`        [block] of 2 words: s of rows 0..4, one byte each; m of rows 0..4
//! plane `super-scales`  [super-block][row 0..4] of 1 word: d (low half), dmin (high half)
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q5_K.

use super::bits::{
    byte, each_block, f16_at, gather_nibbles, gather_one_bit, half, nibble, one_bit, planes_of,
    planes_of_mut, put_byte, tile_unit, u32_at,
};
use super::q4_k::scale_and_min;
use super::{Format, Plane};

pub const Q5_K: Format = Format {
    name: "Q5_K",
    gguf_type: 13,
    block_len: 256,
    block_bytes: 176,
    dequantise,
    quantise: None,
    planes: &[
        Plane::by_rows("quants", 16),
        Plane::per_block("high bits", 4),
        Plane::per_block("scales", 2),
        Plane::per_super_block("super-scales", 4),
    ],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q5_k.wgsl", include_str!("../../../shaders/weight/q5_k.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (b, out) in out.chunks_exact_mut(32).enumerate() {
        let (s, m) = scale_and_min(&block[4..16], b);
        let (scale, min) = (d * f32::from(s), dmin * f32::from(m));
        for (l, out) in out.iter_mut().enumerate() {
            let nibble = (block[48 + b / 2 * 32 + l] >> (4 * (b % 2))) & 0xF;
            let quant = nibble + 16 * ((block[16 + l] >> b) & 1);
            *out = scale * f32::from(quant) - min;
        }
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, high_bits, scales, super_scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 176) {
        super_scales[index * 4 + row] = u32_at(block, 0);
        for b in 0..8 {
            let at = 8 * index + b;
            let (s, m) = scale_and_min(&block[4..16], b);
            put_byte(scales, at * 8 + row, s);
            put_byte(scales, at * 8 + 4 + row, m);
            high_bits[at * 4 + row] = gather_one_bit(&block[16..48], b);
            let words = gather_nibbles(&block[48 + b / 2 * 32..], 4 * (b % 2));
            quants[4 * tile_unit(row, at, n_blocks, 0, 1)..][..4].copy_from_slice(&words);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, high_bits, scales, super_scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index / 8 * 4 + row;
        let scale = half(super_scales, 2 * at) * f32::from(byte(scales, index * 8 + row));
        let min = half(super_scales, 2 * at + 1) * f32::from(byte(scales, index * 8 + 4 + row));
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            let quant = nibble(words, e) + 16 * one_bit(high_bits[index * 4 + row], e);
            *out = scale * quant as f32 - min;
        }
    }
}
