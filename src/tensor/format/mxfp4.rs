//! MXFP4: 32 weights of 4-bit floating point under a power of two. `w = 2^(e - 128) LEVELS[q]`
//!
//! ```text
//! file, 17 bytes     | e: u8 | quants: 16 bytes |    byte j = element j (low nibble), 16 + j (high)
//! plane `quants`     tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `exponents`  [block] of 1 word: e of rows 0..4, one byte each
//! ```
//!
//! A quant is E2M1 (sign, 2 exponent bits, 1 mantissa bit). `LEVELS` holds its values times two, as
//! integers; so the scale is 2^(e - 128), half of the 2^(e - 127) that e means.
//!
//! Source: OCP Microscaling Formats 1.0, section 5; `ggml-common.h` of
//! <https://github.com/ggml-org/ggml>, block_mxfp4 and kvalues_mxfp4.

use super::bits::{byte, each_block, nibble, planes_of, planes_of_mut, put_byte, tile_unit, u32_at};
use super::{Format, Plane};

pub const MXFP4: Format = Format {
    name: "MXFP4",
    gguf_type: 39,
    block_len: 32,
    block_bytes: 17,
    dequantise,
    quantise: None,
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("exponents", 1)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/mxfp4.wgsl", include_str!("../../../shaders/weight/mxfp4.wgsl")),
};

const LEVELS: [f32; 16] = [0., 1., 2., 3., 4., 6., 8., 12., 0., -1., -2., -3., -4., -6., -8., -12.];

/// 2^(e - 128). The two smallest are subnormal.
fn power_of_two(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = power_of_two(block[0]);
    for (j, &byte) in block[1..17].iter().enumerate() {
        out[j] = d * LEVELS[usize::from(byte & 0xF)];
        out[16 + j] = d * LEVELS[usize::from(byte >> 4)];
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, exponents] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 17) {
        put_byte(exponents, index * 4 + row, block[0]);
        let at = 4 * tile_unit(row, index, n_blocks, 0, 1);
        for w in 0..4 {
            quants[at + w] = u32_at(block, 1 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, exponents] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let d = power_of_two(byte(exponents, index * 4 + row));
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            *out = d * LEVELS[nibble(words, e) as usize];
        }
    }
}
