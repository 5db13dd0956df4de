//! Q4_0: 32 weights of 4 bits and a scale. `w = d (q - 8)`
//!
//! ```text
//! file, 18 bytes    | d: f16 | quants: 16 bytes |    byte j = element j (low nibble), 16 + j (high)
//! plane `quants`    tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `scales`    [block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q4_0.

use super::bits::{
    each_block, f16_at, half, nibble, planes_of, planes_of_mut, put_f16, put_half, tile_unit, u16_at, u32_at,
};
use super::{Format, Plane};

pub const Q4_0: Format = Format {
    name: "Q4_0",
    gguf_type: 2,
    block_len: 32,
    block_bytes: 18,
    dequantise,
    quantise: Some(quantise),
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("scales", 2)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q4_0.wgsl", include_str!("../../../shaders/weight/q4_0.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (j, &byte) in block[2..18].iter().enumerate() {
        out[j] = d * (f32::from(byte & 0xF) - 8.0);
        out[16 + j] = d * (f32::from(byte >> 4) - 8.0);
    }
}

/// The weight of largest magnitude becomes q = 0, which is the end of the range that is one step longer.
fn quantise(values: &[f32], block: &mut [u8]) {
    let peak = values.iter().fold(0.0f32, |peak, &value| if value.abs() > peak.abs() { value } else { peak });
    let d = put_f16(block, 0, peak / -8.0);
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let quant = |value: f32| (value * inverse + 8.0).round().clamp(0.0, 15.0) as u8;
    for j in 0..16 {
        block[2 + j] = quant(values[j]) | (quant(values[16 + j]) << 4);
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 18) {
        put_half(scales, index * 4 + row, u16_at(block, 0));
        let at = 4 * tile_unit(row, index, n_blocks, 0, 1);
        for w in 0..4 {
            quants[at + w] = u32_at(block, 2 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let d = half(scales, index * 4 + row);
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            *out = d * (nibble(words, e) as f32 - 8.0);
        }
    }
}
