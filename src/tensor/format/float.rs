//! F32, F16, BF16: plain numbers, little-endian, one after another.
//!
//! ```text
//! plane `quants`: tiles (see `bits`) of the bytes of the file, each row padded to whole blocks of 32
//!   F32   word c of a block   = column c                         8 parts of 4 words per (row, block)
//!   F16   word c of a block   = columns 2c (low), 2c + 1 (high)  4 parts of 4 words per (row, block)
//!   BF16  as F16; a bf16 is the upper half of an f32
//! ```
//!
//! Source: GGUF type table, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use half::{bf16, f16};

use super::bits::{planes_of, planes_of_mut, tile_unit, u16_at, u32_at};
use super::{Format, Plane};

pub const F32: Format = Format {
    name: "F32",
    gguf_type: 0,
    block_len: 1,
    block_bytes: 4,
    dequantise: |block, out| out[0] = f32::from_bits(u32_at(block, 0)),
    quantise: Some(|values, bytes| put_each(values, bytes, f32::to_le_bytes)),
    planes: &[Plane::by_rows("quants", 128)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, n_blocks, 8, planes),
    unpack_row: |planes, n_blocks, row, out| {
        let [quants] = planes_of(planes);
        for (quad, out) in out.chunks_exact_mut(4).enumerate() {
            let unit = tile_unit(row, quad / 8, n_blocks, quad % 8, 8);
            for (out, &word) in out.iter_mut().zip(&quants[4 * unit..]) {
                *out = f32::from_bits(word);
            }
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
    planes: &[Plane::by_rows("quants", 64)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, n_blocks, 4, planes),
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
    planes: &[Plane::by_rows("quants", 64)],
    pack_group: |rows, n_blocks, planes| copy_rows(rows, n_blocks, 4, planes),
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

/// Copies the bytes of 4 rows, 16 to a unit of the tiles.
fn copy_rows(rows: [&[u8]; 4], n_blocks: usize, n_parts: usize, planes: &mut [&mut [u32]]) {
    let [quants] = planes_of_mut(planes);
    for (row, bytes) in rows.into_iter().enumerate() {
        for (i, bytes) in bytes.chunks(16).enumerate() {
            // A row may end inside a unit, an odd number of 16-bit columns inside a word.
            let mut whole = [0; 16];
            whole[..bytes.len()].copy_from_slice(bytes);
            let unit = tile_unit(row, i / n_parts, n_blocks, i % n_parts, n_parts);
            for (word, bytes) in quants[4 * unit..].iter_mut().zip(whole.chunks_exact(4)) {
                *word = u32_at(bytes, 0);
            }
        }
    }
}

fn unpack_halves(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32], decode: fn(u16) -> f32) {
    let [quants] = planes_of(planes);
    for (octet, out) in out.chunks_exact_mut(8).enumerate() {
        let unit = tile_unit(row, octet / 4, n_blocks, octet % 4, 4);
        for (pair, &word) in out.chunks_exact_mut(2).zip(&quants[4 * unit..]) {
            pair[0] = decode(word as u16);
            pair[1] = decode((word >> 16) as u16);
        }
    }
}
