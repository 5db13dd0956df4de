//! Q5_1: 32 weights of 5 bits, a scale and a minimum. `w = d q + m`, q = nibble + 16 * high bit
//!
//! ```text
//! file, 24 bytes    | d: f16 | m: f16 | high: u32 | quants: 16 bytes |
//!                   bit e of high = element e;  byte j = element j (low nibble), 16 + j (high)
//! plane `quants`    tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `high bits` [block][row 0..4] of 1 word, one bit each by quads (see `bits`)
//! plane `scales`    [block][row 0..4] of 1 word: d (low half), m (high half)
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q5_1.

use super::bits::{
    each_block, f16_at, half, nibble, one_bit, planes_of, planes_of_mut, spread_one_bit, tile_unit, u32_at,
};
use super::{Format, Plane};

pub const Q5_1: Format = Format {
    name: "Q5_1",
    gguf_type: 7,
    block_len: 32,
    block_bytes: 24,
    dequantise,
    quantise: None,
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("high bits", 4), Plane::per_block("scales", 4)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q5_1.wgsl", include_str!("../../../shaders/weight/q5_1.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let high = u32_at(block, 4);
    for (e, out) in out.iter_mut().enumerate() {
        let nibble = (block[8 + e % 16] >> (4 * (e / 16))) & 0xF;
        let quant = u32::from(nibble) + 16 * ((high >> e) & 1);
        *out = d * quant as f32 + m;
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, high_bits, scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 24) {
        scales[index * 4 + row] = u32_at(block, 0);
        high_bits[index * 4 + row] = spread_one_bit(u32_at(block, 4));
        let at = 4 * tile_unit(row, index, n_blocks, 0, 1);
        for w in 0..4 {
            quants[at + w] = u32_at(block, 8 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, high_bits, scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index * 4 + row;
        let (d, m) = (half(scales, 2 * at), half(scales, 2 * at + 1));
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            let quant = nibble(words, e) + 16 * one_bit(high_bits[at], e);
            *out = d * quant as f32 + m;
        }
    }
}
