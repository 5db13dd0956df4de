//! Q4_K: 8 blocks of 32 weights of 4 bits under two f16. `w = (d s) q - (dmin m)`, 6-bit s, m per block
//!
//! ```text
//! file, 144 bytes       | d: f16 | dmin: f16 | s and m: 12 bytes | quants: 128 bytes |
//!   quants              byte 32 p + l = element l of block 2 p (low nibble), of block 2 p + 1 (high)
//!   s and m             bit 7 6 5 4 3 2 1 0
//!     bytes 0..4            S S s s s s s s     s of blocks 0..4; S = top bits of s of blocks 4..8
//!     bytes 4..8            M M m m m m m m     m of blocks 0..4; M = top bits of m of blocks 4..8
//!     bytes 8..12           m m m m s s s s     low nibbles of s and m of blocks 4..8
//! plane `quants`        tiles (see `bits`) of 4 words, nibbles by quads (see `bits`)
//! plane `scales`        [block] of 2 words: s of rows 0..4, one byte each; m of rows 0..4
//! plane `super-scales`  [super-block][row 0..4] of 1 word: d (low half), dmin (high half)
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q4_K.

use super::bits::{
    byte, each_block, f16_at, gather_nibbles, half, nibble, planes_of, planes_of_mut, put_byte, put_f16,
    tile_unit, u32_at,
};
use super::{Format, Plane};

pub const Q4_K: Format = Format {
    name: "Q4_K",
    gguf_type: 12,
    block_len: 256,
    block_bytes: 144,
    dequantise,
    quantise: Some(quantise),
    planes: &[
        Plane::by_rows("quants", 16),
        Plane::per_block("scales", 2),
        Plane::per_super_block("super-scales", 4),
    ],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q4_k.wgsl", include_str!("../../../shaders/weight/q4_k.wgsl")),
};

/// The 6-bit scale and minimum of block `b: 0..8` in the 12 bytes of Q4_K and Q5_K.
pub(super) fn scale_and_min(bytes: &[u8], b: usize) -> (u8, u8) {
    if b < 4 {
        return (bytes[b] & 63, bytes[4 + b] & 63);
    }
    let low = bytes[4 + b];
    ((low & 0xF) | ((bytes[b - 4] >> 6) << 4), (low >> 4) | ((bytes[b] >> 6) << 4))
}

fn dequantise(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (b, out) in out.chunks_exact_mut(32).enumerate() {
        let (s, m) = scale_and_min(&block[4..16], b);
        let (scale, min) = (d * f32::from(s), dmin * f32::from(m));
        let quants = &block[16 + b / 2 * 32..];
        for (out, quant) in out.iter_mut().zip(quants) {
            *out = scale * f32::from((quant >> (4 * (b % 2))) & 0xF) - min;
        }
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, scales, super_scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 144) {
        super_scales[index * 4 + row] = u32_at(block, 0);
        for b in 0..8 {
            let at = 8 * index + b;
            let (s, m) = scale_and_min(&block[4..16], b);
            put_byte(scales, at * 8 + row, s);
            put_byte(scales, at * 8 + 4 + row, m);
            let words = gather_nibbles(&block[16 + b / 2 * 32..], 4 * (b % 2));
            quants[4 * tile_unit(row, at, n_blocks, 0, 1)..][..4].copy_from_slice(&words);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, scales, super_scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index / 8 * 4 + row;
        let scale = half(super_scales, 2 * at) * f32::from(byte(scales, index * 8 + row));
        let min = half(super_scales, 2 * at + 1) * f32::from(byte(scales, index * 8 + 4 + row));
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            *out = scale * nibble(words, e) as f32 - min;
        }
    }
}

fn quantise(values: &[f32], block: &mut [u8]) {
    let fits: [(f32, f32); 8] = std::array::from_fn(|b| fit_scale_and_min(&values[32 * b..][..32]));
    let scale_max = fits.iter().fold(0.0f32, |max, fit| max.max(fit.0));
    let min_max = fits.iter().fold(0.0f32, |max, fit| max.max(fit.1));
    let d = put_f16(block, 0, scale_max / 63.0);
    let dmin = put_f16(block, 2, min_max / 63.0);
    let sixth =
        |value: f32, unit: f32| if unit == 0.0 { 0 } else { (value / unit).round().clamp(0.0, 63.0) as u8 };
    block[4..].fill(0);
    for (b, (scale, min)) in fits.into_iter().enumerate() {
        let (s, m) = (sixth(scale, d), sixth(min, dmin));
        if b < 4 {
            block[4 + b] |= s;
            block[8 + b] |= m;
        } else {
            block[8 + b] = (s & 0xF) | (m << 4);
            block[b] |= (s >> 4) << 6;
            block[4 + b] |= (m >> 4) << 6;
        }
        // The quants are rounded against the scales as stored.
        let (scale, min) = (d * f32::from(s), dmin * f32::from(m));
        for (l, value) in values[32 * b..][..32].iter().enumerate() {
            block[16 + b / 2 * 32 + l] |= (nearest_quant(*value, scale, min) as u8) << (4 * (b % 2));
        }
    }
}

fn nearest_quant(value: f32, scale: f32, min: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { ((value + min) / scale).round().clamp(0.0, 15.0) }
}

/// The scale and minimum, neither negative, with the least squared error over 32 weights among a few
/// candidates: the exact range, ranges up to 16 % shorter, and the least-squares line of each.
fn fit_scale_and_min(values: &[f32]) -> (f32, f32) {
    let low = values.iter().fold(0.0f32, |low, &value| low.min(value));
    let high = values.iter().fold(low, |high, &value| high.max(value));
    if high == low {
        return (0.0, -low);
    }
    let mut best = (f32::INFINITY, (0.0, 0.0));
    for step in 0..9 {
        let scale = (high - low) / 15.0 * (1.0 - 0.02 * step as f32);
        for (scale, min) in [(scale, -low), least_squares(values, scale, -low)] {
            let error = values.iter().fold(0.0, |sum, &value| {
                let difference = scale * nearest_quant(value, scale, min) - min - value;
                sum + difference * difference
            });
            if error < best.0 {
                best = (error, (scale, min));
            }
        }
    }
    best.1
}

/// The line `value = scale * quant - min` through the quants that another line gives.
fn least_squares(values: &[f32], scale: f32, min: f32) -> (f32, f32) {
    let (mut q, mut v, mut qq, mut qv) = (0.0, 0.0, 0.0, 0.0);
    for &value in values {
        let quant = nearest_quant(value, scale, min);
        (q, v, qq, qv) = (q + quant, v + value, qq + quant * quant, qv + quant * value);
    }
    let n = values.len() as f32;
    let determinant = n * qq - q * q;
    let fitted = (n * qv - q * v) / determinant;
    let fitted_min = (fitted * q - v) / n;
    // A line with a negative minimum cannot be stored, nor one through equal quants found.
    if determinant > 0.0 && fitted > 0.0 && fitted_min >= 0.0 { (fitted, fitted_min) } else { (scale, min) }
}
