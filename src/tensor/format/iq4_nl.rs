//! IQ4_NL: 32 weights that choose one of 16 levels, and a scale. `w = d LEVELS[q]`
//!
//! ```text
//! file, 18 bytes    | d: f16 | quants: 16 bytes |    byte j = element j (low nibble), 16 + j (high)
//! plane `quants`    tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `scales`    [block][row 0..4] of f16 d: rows 0, 1 in word 0; rows 2, 3 in word 1
//! ```
//!
//! Source: `ggml-common.h` of <https://github.com/ggml-org/ggml>, block_iq4_nl and kvalues_iq4nl.

use super::bits::{
    each_block, f16_at, half, nibble, planes_of, planes_of_mut, put_half, tile_unit, u16_at, u32_at,
};
use super::{Format, Plane};

pub const IQ4_NL: Format = Format {
    name: "IQ4_NL",
    gguf_type: 20,
    block_len: 32,
    block_bytes: 18,
    dequantise,
    quantise: None,
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("scales", 2)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/iq4_nl.wgsl", include_str!("../../../shaders/weight/iq4_nl.wgsl")),
};

const LEVELS: [f32; 16] =
    [-127., -104., -83., -65., -49., -35., -22., -10., 1., 13., 25., 38., 53., 69., 89., 113.];

fn dequantise(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (j, &byte) in block[2..18].iter().enumerate() {
        out[j] = d * LEVELS[usize::from(byte & 0xF)];
        out[16 + j] = d * LEVELS[usize::from(byte >> 4)];
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
            *out = d * LEVELS[nibble(words, e) as usize];
        }
    }
}
