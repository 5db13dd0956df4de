//! Q8_0: 32 signed bytes and a scale. `w = d q`
//!
//! ```text
//! file, 34 bytes    | d: f16 | quants: 32 x i8 |
//! plane `quants`    tiles (see `bits`) of 2 x 4 words: the 32 bytes as they are, 16 per part
//! plane `scales`    [block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q8_0.

use super::bits::{
    byte, each_block, f16_at, half, planes_of, planes_of_mut, put_f16, put_half, tile_unit, u16_at, u32_at,
};
use super::{Format, Plane};

pub const Q8_0: Format = Format {
    name: "Q8_0",
    gguf_type: 8,
    block_len: 32,
    block_bytes: 34,
    dequantise,
    quantise: Some(quantise),
    planes: &[Plane::by_rows("quants", 32), Plane::per_block("scales", 2)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q8_0.wgsl", include_str!("../../../shaders/weight/q8_0.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, &quant) in out.iter_mut().zip(&block[2..34]) {
        *out = d * f32::from(quant as i8);
    }
}

fn quantise(values: &[f32], block: &mut [u8]) {
    let peak = values.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
    let d = put_f16(block, 0, peak / 127.0);
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    for (quant, value) in block[2..34].iter_mut().zip(values) {
        *quant = (value * inverse).round().clamp(-127.0, 127.0) as i8 as u8;
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 34) {
        put_half(scales, index * 4 + row, u16_at(block, 0));
        for w in 0..8 {
            quants[4 * tile_unit(row, index, n_blocks, w / 4, 2) + w % 4] = u32_at(block, 2 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let d = half(scales, index * 4 + row);
        for (e, out) in out.iter_mut().enumerate() {
            let unit = tile_unit(row, index, n_blocks, e / 16, 2);
            *out = d * f32::from(byte(quants, 16 * unit + e % 16) as i8);
        }
    }
}
