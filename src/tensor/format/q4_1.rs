//! Q4_1: 32 weights of 4 bits, a scale and a minimum. `w = d q + m`
//!
//! ```text
//! file, 20 bytes    | d: f16 | m: f16 | quants: 16 bytes |    byte j = element j (low nibble), 16 + j (high)
//! plane `quants`    tiles (see `bits`) of 4 words: the 16 bytes as they are
//! plane `scales`    [block][row 0..4] of 1 word: d (low half), m (high half)
//! ```
//!
//! Source: `ggml-quants.h` of <https://github.com/ggml-org/ggml>, block_q4_1.

use super::bits::{each_block, f16_at, half, nibble, planes_of, planes_of_mut, tile_unit, u32_at};
use super::{Format, Plane};

pub const Q4_1: Format = Format {
    name: "Q4_1",
    gguf_type: 3,
    block_len: 32,
    block_bytes: 20,
    dequantise,
    quantise: None,
    planes: &[Plane::by_rows("quants", 16), Plane::per_block("scales", 4)],
    pack_group,
    unpack_row,
    wgsl: ("shaders/weight/q4_1.wgsl", include_str!("../../../shaders/weight/q4_1.wgsl")),
};

fn dequantise(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (j, &byte) in block[4..20].iter().enumerate() {
        out[j] = d * f32::from(byte & 0xF) + m;
        out[16 + j] = d * f32::from(byte >> 4) + m;
    }
}

fn pack_group(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]) {
    let [quants, scales] = planes_of_mut(planes);
    for (row, index, block) in each_block(rows, 20) {
        scales[index * 4 + row] = u32_at(block, 0);
        let at = 4 * tile_unit(row, index, n_blocks, 0, 1);
        for w in 0..4 {
            quants[at + w] = u32_at(block, 4 + 4 * w);
        }
    }
}

fn unpack_row(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]) {
    let [quants, scales] = planes_of(planes);
    for (index, out) in out.chunks_exact_mut(32).take(n_blocks).enumerate() {
        let at = index * 4 + row;
        let (d, m) = (half(scales, 2 * at), half(scales, 2 * at + 1));
        let words = &quants[4 * tile_unit(row, index, n_blocks, 0, 1)..][..4];
        for (e, out) in out.iter_mut().enumerate() {
            *out = d * nibble(words, e) as f32 + m;
        }
    }
}
