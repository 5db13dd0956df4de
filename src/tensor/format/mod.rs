//! Stored weight formats: how they lie in a file, how they lie on the GPU, what they stand for.
//!
//! On the GPU every format is a few *planes*, each an array of u32 words, all with the same order:
//! 4 rows form a *group*; a plane is the groups one after another; inside a group the order belongs
//! to the format. Rows are padded with zero weights to a multiple of 4 and columns to a multiple of
//! 32 (a *block*). So `group_words(n_blocks)` of each plane says everything about its size, and a
//! tensor can be cut between any two groups.

use super::Shape;
use crate::error::{Error, Result};

/// One array of a packed weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// What the words hold: `quants`, `high bits`, `scales`, `super-scales`.
    pub name: &'static str,
    /// Words of 4 rows x 1 block (32 weights) each. Zero for a plane per super-block.
    pub words_per_block: usize,
    /// Words of 4 rows x 1 super-block (256 weights) each. Zero for a plane per block.
    pub words_per_super_block: usize,
}

impl Plane {
    pub const fn per_block(name: &'static str, words: usize) -> Plane {
        Plane { name, words_per_block: words, words_per_super_block: 0 }
    }

    pub const fn per_super_block(name: &'static str, words: usize) -> Plane {
        Plane { name, words_per_block: 0, words_per_super_block: words }
    }

    /// Words of one group of 4 rows, each `n_blocks` blocks long.
    pub fn group_words(&self, n_blocks: usize) -> usize {
        self.words_per_block * n_blocks + self.words_per_super_block * n_blocks.div_ceil(8)
    }
}

/// A stored weight format. Formats are compared by `name`; the list is [`FORMATS`].
pub struct Format {
    /// As GGUF writes it: `Q4_K`.
    pub name: &'static str,
    /// The type number in a GGUF tensor directory.
    pub gguf_type: u32,
    /// Weights per block of the file.
    pub block_len: usize,
    /// Bytes per block of the file.
    pub block_bytes: usize,
    /// Decodes one block of the file. `block: block_bytes`, `out: block_len`.
    pub dequantise: fn(block: &[u8], out: &mut [f32]),
    /// The arrays on the GPU, in the order of the bindings of group 1 in the shader.
    pub planes: &'static [Plane],
    /// Packs 4 rows of the file. A row that is absent (padding) is an empty slice and gives weights
    /// that decode to zero. `planes[i]: planes[i].group_words(n_blocks)` words, zeroed.
    pub pack_group: fn(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]),
    /// Decodes one row (0..4) of one packed group. `out: n_blocks * 32`.
    /// The arithmetic is the shader's, so that a CPU twin sees the same weights.
    pub unpack_row: fn(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]),
    /// The file that plays the role `weight`, for messages and for the linker.
    pub wgsl: (&'static str, &'static str),
}

impl Format {
    /// The bytes of one row of `n_columns` weights in a file.
    pub fn row_bytes(&self, n_columns: usize) -> Result<usize> {
        if n_columns % self.block_len != 0 {
            return Err(Error::Input(format!(
                "a row of {n_columns} weights is not a whole number of {} blocks of {}",
                self.name, self.block_len
            )));
        }
        (n_columns / self.block_len)
            .checked_mul(self.block_bytes)
            .ok_or_else(|| Error::Input(format!("a row of {n_columns} weights is too long")))
    }

    /// Decodes whole blocks. `bytes: n * block_bytes`, `out: n * block_len`.
    pub fn dequantise_row(&self, bytes: &[u8], out: &mut [f32]) {
        for (block, out) in bytes.chunks_exact(self.block_bytes).zip(out.chunks_exact_mut(self.block_len)) {
            (self.dequantise)(block, out);
        }
    }

    /// Words of each plane of a tensor of `shape: (n_rows, n_columns)`.
    pub fn plane_words(&self, shape: &Shape) -> Vec<usize> {
        let n_groups = shape.n_rows().div_ceil(4);
        let n_blocks = shape.n_columns().div_ceil(32);
        self.planes.iter().map(|plane| n_groups * plane.group_words(n_blocks)).collect()
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
