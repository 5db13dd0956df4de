//! Q2_K: 16 half blocks of 16 weights of 2 bits under two f16. `w = (d s) q - (dmin m)`, 4-bit s, m per half
//!
//! ```text
//! file, 84 bytes        | s and m: 16 bytes | quants: 64 bytes | d: f16 | dmin: f16 |
//!   block b = 4 h + k (h: 0..2, k: 0..4), element l: 0..32
//!   s and m             byte 2 b for elements 0..16, 2 b + 1 for elements 16..32: s low nibble, m high
//!   quants              byte 32 h + l, bits 2 k, 2 k + 1
//! plane `quants`        [block][half][row 0..4] of 1 word, two bits each by quads (see `bits`)
//! plane `scales`        [block] of 2 words: s and m of the first half of rows 0..4, one byte each as in
//!                       the file; of the second
//! plane `super-scales`  [super-block][row 0..4] of 1 word: d (low half), dmin (high half)
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q2_K.

use super::bits::{
    byte, each_block, f16_at, gather_two_bits, half, planes_of, planes_of_mut, put_byte, two_bits, u32_at,
};
use super::{Format, Plane};

pub const Q2_K: Format = Format {
    name: "Q2_K",
    gguf_type: 10,
    block_len: 256,
    block_bytes: 84,
    dequantise,
    quantise: None,
    planes: &[
        Plane::per_block("quants", 8),
        Plane::per_block("scales", 2),
        Plane::per_super_block("super-scales", 4),
    ],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q2_k.wgsl", include_str!("../../../shaders/weight/q2_k.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    for (b, out) in out.chunks_exact_mut(32).enumerate() {
        for (l, out) in out.iter_mut().enumerate() {
            let pair = block[2 * b + l / 16];
            let (scale, min) = (d * f32::from(pair & 0xF), dmin * f32::from(pair >> 4));
            let quant = (block[16 + 32 * (b / 4) + l] >> (2 * (b % 4))) & 3;
            *out = scale * f32::from(quant) - min;
        }
    }
}

fn pack_group(rows: [&[u8]; 4], _n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, scales, super_scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 84) {
        super_scales[index * 4 + row] = u32_at(block, 80);
        for b in 0..8 {
            for side in 0..2 {
                let at = (8 * index + b) * 8 + 4 * side + row;
                put_byte(scales, at, block[2 * b + side]);
                quants[at] = gather_two_bits(&block[16 + 32 * (b / 4) + 16 * side..], 2 * (b % 4));
            }
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, scales, super_scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index / 8 * 4 + row;
        let (d, dmin) = (half(super_scales, 2 * at), half(super_scales, 2 * at + 1));
        for (e, out) in out.iter_mut().enumerate() {
            let at = index * 8 + 4 * (e / 16) + row;
            let pair = byte(scales, at);
            let (scale, min) = (d * f32::from(pair & 0xF), dmin * f32::from(pair >> 4));
            *out = scale * two_bits(quants[at], e % 16) as f32 - min;
        }
    }
}
