//! Stored weight formats: how they lie in a file, how they lie on the GPU, what they stand for.
//!
//! On the GPU every format is a few *planes*, each an array of u32 words, all with the same order:
//! 4 rows form a *group*, whose order belongs to the format; 8 groups form a *band*, in which they
//! take turns by *tiles* of 8 blocks (see [`pack_into`]); a plane is the bands one after another. Rows
//! are padded with zero weights to a multiple of 32 and columns to a multiple of 32 (a *block*). So
//! [`Plane::words`] says everything about the size of a plane, and a tensor can be cut between any two
//! bands.

mod bits;
mod float;
mod iq4_nl;
mod mxfp4;
mod pack;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

use super::Shape;
use crate::error::{Error, Result};
pub use pack::{group_of, pack_into, pack_rows, unpack};

/// Every stored format there is; the one list that files, shaders and tests read.
pub static FORMATS: [Format; 15] = [
    float::F32,
    float::F16,
    float::BF16,
    q4_0::Q4_0,
    q4_1::Q4_1,
    q5_0::Q5_0,
    q5_1::Q5_1,
    q8_0::Q8_0,
    q2_k::Q2_K,
    q3_k::Q3_K,
    q4_k::Q4_K,
    q5_k::Q5_K,
    q6_k::Q6_K,
    iq4_nl::IQ4_NL,
    mxfp4::MXFP4,
];

/// GGUF types outside [`FORMATS`], so that messages can name them.
const UNSUPPORTED: [(u32, &str); 27] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (4, "Q4_2"),
    (5, "Q4_3"),
];

/// The files that the `weight` role's files import, as (path, text).
pub const SHARED_WGSL: [(&str, &str); 8] = [
    ("shaders/block.wgsl", include_str!("../../../shaders/block.wgsl")),
    ("shaders/bytes.wgsl", include_str!("../../../shaders/bytes.wgsl")),
    ("shaders/halves.wgsl", include_str!("../../../shaders/halves.wgsl")),
    ("shaders/levels.wgsl", include_str!("../../../shaders/levels.wgsl")),
    ("shaders/nibbles.wgsl", include_str!("../../../shaders/nibbles.wgsl")),
    ("shaders/pair.wgsl", include_str!("../../../shaders/pair.wgsl")),
    ("shaders/band.wgsl", include_str!("../../../shaders/band.wgsl")),
    ("shaders/two_bits.wgsl", include_str!("../../../shaders/two_bits.wgsl")),
];

/// The format of a type number in a GGUF tensor directory.
pub fn by_gguf_type(number: u32) -> Result<&'static Format> {
    FORMATS.iter().find(|format| format.gguf_type == number).ok_or_else(|| {
        match UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == number) {
            Some((_, name)) => Error::Unsupported(format!("{name} is not supported; supported: {}", names())),
            None => Error::Unsupported(format!("type {number} is unknown; supported: {}", names())),
        }
    })
}

/// The name of a GGUF type of plain numbers that are no weights: integers and F64.
pub fn plain_number(gguf_type: u32) -> Option<&'static str> {
    let (_, name) = UNSUPPORTED.iter().find(|(number, _)| *number == gguf_type)?;
    matches!(*name, "I8" | "I16" | "I32" | "I64" | "F64").then_some(name)
}

/// The format of a name, in any case: `q4_k`.
pub fn by_name(name: &str) -> Result<&'static Format> {
    FORMATS.iter().find(|format| format.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        match UNSUPPORTED.iter().find(|(_, unsupported)| unsupported.eq_ignore_ascii_case(name)) {
            Some((_, name)) => Error::Unsupported(format!("{name} is not supported; supported: {}", names())),
            None => Error::Input(format!("{name:?} is not a weight format; supported: {}", names())),
        }
    })
}

/// The names of all formats, for messages: `F32, F16, ...`.
pub fn names() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
}

/// Rows whose packed weights lie together.
pub const BAND: usize = 32;

/// Blocks of a row that lie together.
const TILE: usize = 8;

/// One array of a packed weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// What the words hold: `quants`, `high bits`, `scales`, `super-scales`.
    pub name: &'static str,
    /// Words of 4 rows x 1 block (32 weights) each. Zero for a plane per super-block.
    pub words_per_block: usize,
    /// Words of 4 rows x 1 super-block (256 weights) each. Zero for a plane per block.
    pub words_per_super_block: usize,
    /// Whether each row has words of its own. Then the pairs of rows of a tile lie apart.
    pub by_rows: bool,
}

impl Plane {
    pub const fn by_rows(name: &'static str, words: usize) -> Plane {
        Plane { name, words_per_block: words, words_per_super_block: 0, by_rows: true }
    }

    pub const fn per_block(name: &'static str, words: usize) -> Plane {
        Plane { name, words_per_block: words, words_per_super_block: 0, by_rows: false }
    }

    pub const fn per_super_block(name: &'static str, words: usize) -> Plane {
        Plane { name, words_per_block: 0, words_per_super_block: words, by_rows: false }
    }

    /// Words of `n_rows` rows, each `n_blocks` blocks long.
    pub fn words(&self, n_rows: usize, n_blocks: usize) -> usize {
        n_rows.div_ceil(BAND) * BAND / 4 * self.group_words(n_blocks)
    }

    /// Words of what a shader reads at once.
    pub fn element_words(&self) -> usize {
        self.words_per_block.max(self.words_per_super_block).min(4)
    }

    /// Words of one group in one tile of `n_blocks` blocks at most.
    fn tile_words(&self, n_blocks: usize) -> usize {
        self.words_per_block * n_blocks + self.words_per_super_block
    }

    /// Words of one group of 4 rows, each `n_blocks` blocks long.
    pub fn group_words(&self, n_blocks: usize) -> usize {
        self.words_per_block * n_blocks + self.words_per_super_block * n_blocks.div_ceil(8)
    }
}

/// See [`Format::quantise`].
pub type Quantise = fn(values: &[f32], block: &mut [u8]);

/// See [`Format::pack_group`].
pub type PackGroup = fn(rows: [&[u8]; 4], n_blocks: usize, planes: &mut [&mut [u32]]);

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
    /// Encodes one block of the file, where this program can. `values: block_len`, finite;
    /// `block: block_bytes`.
    pub quantise: Option<Quantise>,
    /// The arrays on the GPU, in the order of the bindings of group 1 in the shader.
    pub planes: &'static [Plane],
    /// Packs 4 rows of the file, each of at most `n_blocks * 32` weights. A row that is absent (padding) is an empty slice and gives weights
    /// that decode to zero. `planes[i]: planes[i].group_words(n_blocks)` words, zeroed.
    pub pack_group: PackGroup,
    /// Decodes one row (0..4) of one packed group. `out: n_blocks * 32`.
    /// The arithmetic is the shader's, so that a CPU twin sees the same weights.
    pub unpack_row: fn(planes: &[&[u32]], n_blocks: usize, row: usize, out: &mut [f32]),
    /// The file that plays the role `weight`, for messages and for the linker.
    pub wgsl: (&'static str, &'static str),
}

impl Format {
    /// The bytes of one row of `n_columns` weights in a file.
    pub fn row_bytes(&self, n_columns: usize) -> Result<usize> {
        if !n_columns.is_multiple_of(self.block_len) {
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

    /// Encodes whole rows or blocks. `values: n * block_len`.
    pub fn quantise_row(&self, values: &[f32]) -> Result<Vec<u8>> {
        let quantise = self.quantise.ok_or_else(|| {
            Error::Unsupported(format!("cannot write {}; can write: {}", self.name, writable()))
        })?;
        let mut bytes = vec![0; self.row_bytes(values.len())?];
        for (values, block) in
            values.chunks_exact(self.block_len).zip(bytes.chunks_exact_mut(self.block_bytes))
        {
            quantise(values, block);
        }
        Ok(bytes)
    }

    /// Words of each plane of a tensor of `shape: (n_rows, n_columns)`.
    pub fn plane_words(&self, shape: &Shape) -> Vec<usize> {
        let n_blocks = shape.n_columns().div_ceil(32);
        self.planes.iter().map(|plane| plane.words(shape.n_rows(), n_blocks)).collect()
    }
}

/// The names of the formats that have `quantise`.
fn writable() -> String {
    let names: Vec<_> = FORMATS.iter().filter(|format| format.quantise.is_some()).map(|f| f.name).collect();
    names.join(", ")
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
