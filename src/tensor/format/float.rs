//! F32, F16, BF16: plain numbers, little-endian, one after another.
//!
//! ```text
//! plane `quants`: the bytes of the file, row after row, each row padded to whole blocks of 32
//!   F32   word c of a row     = column c                         8 vec4<u32> per (row, block)
//!   F16   word c of a row     = columns 2c (low), 2c + 1 (high)  4 vec4<u32> per (row, block)
//!   BF16  as F16; a bf16 is the upper half of an f32
//! ```
//!
//! Source: GGUF type table, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use half::{bf16, f16};

use super::bits::{planes_of, planes_of_mut, u16_at, u32_at};
use super::{Format, Plane};

pub const F32: Format = Format {
    name: "F32",
    gguf_type: 0,
    block_len: 1,
    block_bytes: 4,
    dequantise: |block, out| out[0] = f32::from_bits(u32_at(block, 0)),
    quantise: Some(|values, bytes| put_each(values, bytes, f32::to_le_bytes)),
    planes: &[Plane::per_block("quants", 128)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, 32 * n_blocks, planes),
    unpack_row: |planes, n_blocks, row, out| {
        let [quants] = planes_of(planes);
        for (out, &word) in out.iter_mut().zip(&quants[row * 32 * n_blocks..]) {
            *out = f32::from_bits(word);
        }
    },
    wgsl: ("shaders/weight/f32.wgsl", include_str!("../../../shaders/weight/f32.wgsl")),
};

pub const F16: Format = Format {
    name: "F16",
    gguf_type: 1,
    block_len: 1,
    block_bytes: 2,
    dequantise: |block, out| out[0] = f16::from_bits(u16_at(block, 0)).to_f32(),
    quantise: Some(|values, bytes| put_each(values, bytes, |value| f16::from_f32(value).to_le_bytes())),
    planes: &[Plane::per_block("quants", 64)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, 16 * n_blocks, planes),
    unpack_row: |planes, n_blocks, row, out| {
        unpack_halves(planes, n_blocks, row, out, |h| f16::from_bits(h).to_f32())
    },
    wgsl: ("shaders/weight/f16.wgsl", include_str!("../../../shaders/weight/f16.wgsl")),
};

pub const BF16: Format = Format {
    name: "BF16",
    gguf_type: 30,
    block_len: 1,
    block_bytes: 2,
    dequantise: |block, out| out[0] = bf16_to_f32(u16_at(block, 0)),
    quantise: Some(|values, bytes| put_each(values, bytes, |value| bf16::from_f32(value).to_le_bytes())),
    planes: &[Plane::per_block("quants", 64)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, 16 * n_blocks, planes),
    unpack_row: |planes, n_blocks, row, out| unpack_halves(planes, n_blocks, row, out, bf16_to_f32),
    wgsl: ("shaders/weight/bf16.wgsl", include_str!("../../../shaders/weight/bf16.wgsl")),
};

fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn put_each<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    for (value, bytes) in values.iter().zip(bytes.chunks_exact_mut(N)) {
        bytes.copy_from_slice(&encode(*value));
    }
}

/// Copies the bytes of 4 rows, each to its `row_words` words.
fn copy_rows(rows: [&[u8]; 4], row_words: usize, planes: &mut [&mut [u32]]) {
    let [quants] = planes_of_mut(planes);
    if row_words == 0 {
        return;
    }
    for (row, words) in rows.into_iter().zip(quants.chunks_exact_mut(row_words)) {
        for (word, bytes) in words.iter_mut().zip(row.chunks(4)) {
            // An odd number of 16-bit columns ends in half a word.
            let mut whole = [0; 4];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_le_bytes(whole);
        }
    }
}

fn unpack_halves(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32], decode: fn(u16) -> f32) {
    let [quants] = planes_of(planes);
    for (pair, &word) in out.chunks_exact_mut(2).zip(&quants[row * 16 * n_blocks..]) {
        pair[0] = decode(word as u16);
        pair[1] = decode((word >> 16) as u16);
    }
}
