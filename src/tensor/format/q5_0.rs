//! Q5_0: 32 weights of 5 bits and a scale. `w = d (q - 16)`, q = nibble + 16 * high bit
//!
//! ```text
//! file, 22 bytes    | d: f16 | high: u32 | quants: 16 bytes |
//!                   bit e of high = element e;  byte j = element j (low nibble), 16 + j (high)
//! plane `quants`    tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `high bits` [block][row 0..4] of 1 word, one bit each by quads (see `bits`)
//! plane `scales`    [block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q5_0.

use super::bits::{
    each_block, f16_at, half, nibble, one_bit, planes_of, planes_of_mut, put_half, spread_one_bit, tile_unit,
    u16_at, u32_at,
};
use super::{Format, Plane};

pub const Q5_0: Format = Format {
    name: "Q5_0",
    gguf_type: 6,
    block_len: 32,
    block_bytes: 22,
    dequantise,
    quantise: None,
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("high bits", 4), Plane::per_block("scales", 2)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q5_0.wgsl", include_str!("../../../shaders/weight/q5_0.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let high = u32_at(block, 2);
    for (e, out) in out.iter_mut().enumerate() {
        let nibble = (block[6 + e % 16] >> (4 * (e / 16))) & 0xF;
        let quant = u32::from(nibble) + 16 * ((high >> e) & 1);
        *out = d * (quant as f32 - 16.0);
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, high_bits, scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 22) {
        put_half(scales, index * 4 + row, u16_at(block, 0));
        high_bits[index * 4 + row] = spread_one_bit(u32_at(block, 2));
        let at = 4 * tile_unit(row, index, n_blocks, 0, 1);
        for w in 0..4 {
            quants[at + w] = u32_at(block, 6 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, high_bits, scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index * 4 + row;
        let d = half(scales, at);
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            let quant = nibble(words, e) + 16 * one_bit(high_bits[at], e);
            *out = d * (quant as f32 - 16.0);
        }
    }
}
