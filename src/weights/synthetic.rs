//! Weights without a file: random, the same for the same seed, for measuring models that are not here.
//!
//! No tensor is ever held whole. Each format has one pool of random blocks of sensible size, and a row
//! of a matrix is a run of the pool from a place that the seed, the tensor and the row choose.

use std::collections::HashMap;
use std::path::PathBuf;

use super::{Container, Metadata, TensorInfo, Weights};
use crate::error::Result;
use crate::tensor::{Format, Shape, format};

/// Weights in a pool beyond the longest row; rows start at any of its blocks.
const POOL_LEN: usize = 1 << 18;

/// The root mean square of a row's weights times the root of its length, so that a product keeps the
/// size of its input.
const GAIN: f32 = 1.0;

/// The random bytes that all tensors take their rows from.
pub(super) struct Pools {
    seed: u64,
    /// By format: blocks, and how many rows may start at.
    blocks: HashMap<&'static str, Vec<u8>>,
    /// The values of vectors, near 1.
    gains: Vec<u8>,
}

/// Where the rows of a synthetic matrix are.
pub struct SyntheticRows<'a> {
    pub bytes: &'a [u8],
    /// The block that each row starts at.
    pub starts: Vec<u32>,
}

impl Weights {
    /// Weights that are made up: `metadata` as in a GGUF file, and the name, shape and format of each tensor.
    ///
    /// Fails if a matrix's rows are no whole number of blocks.
    pub fn synthetic(
        name: &str,
        metadata: Metadata,
        tensors: Vec<(String, Shape, &'static Format)>,
        seed: u64,
    ) -> Result<Weights> {
        let widest = tensors.iter().map(|(_, shape, _)| shape.n_columns()).max().unwrap_or(1);
        let mut pools = Pools { seed, blocks: HashMap::new(), gains: Vec::new() };
        let mut random = Random(seed);
        let mut infos = Vec::new();
        let mut by_name = HashMap::new();
        for (name, shape, format) in tensors {
            let bytes = 0..shape.n_rows() * format.row_bytes(shape.n_columns())?;
            let is_matrix = shape.n_rows() > 1;
            if is_matrix && !pools.blocks.contains_key(format.name) {
                let n_blocks = (POOL_LEN + widest).div_ceil(format.block_len);
                let rms = GAIN / (widest as f32).sqrt();
                pools.blocks.insert(format.name, pool(format, n_blocks, rms, &mut random));
            }
            if !is_matrix && pools.gains.len() < bytes.len() {
                let n = shape.n_columns();
                pools.gains = (0..n).flat_map(|_| (1.0 + 0.1 * random.normal()).to_le_bytes()).collect();
            }
            by_name.insert(name.clone(), infos.len());
            infos.push(TensorInfo { name, shape, format, file: 0, bytes });
        }
        Ok(Weights {
            path: PathBuf::from(name),
            container: Container::Gguf,
            metadata,
            config: None,
            files: Vec::new(),
            tensors: infos,
            ignored: Vec::new(),
            by_name,
            pools: Some(pools),
        })
    }

    /// The rows of a synthetic matrix; `None` where the bytes are in a file.
    pub fn synthetic_rows(&self, tensor: &TensorInfo) -> Option<SyntheticRows<'_>> {
        let pools = self.pools.as_ref()?;
        let bytes = pools.blocks.get(tensor.format.name)?;
        let row_blocks = tensor.shape.n_columns() / tensor.format.block_len;
        let n_starts = (bytes.len() / tensor.format.block_bytes - row_blocks) as u64;
        let name = tensor.name.bytes().fold(pools.seed, |hash, b| (hash ^ u64::from(b)).wrapping_mul(PRIME));
        let mut random = Random(name);
        let starts = (0..tensor.shape.n_rows()).map(|_| (random.next() % n_starts.max(1)) as u32);
        Some(SyntheticRows { bytes, starts: starts.collect() })
    }

    /// The bytes of a synthetic vector.
    pub(super) fn synthetic_vector(&self, tensor: &TensorInfo) -> Option<&[u8]> {
        Some(&self.pools.as_ref()?.gains[..tensor.bytes.len()])
    }
}

const PRIME: u64 = 0x0100_0000_01b3;

/// Blocks whose weights have about the root mean square `rms`.
fn pool(format: &'static Format, n_blocks: usize, rms: f32, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0u8; n_blocks * format.block_bytes];
    let mut values = vec![0.0f32; format.block_len];
    if let Some(quantise) = format.quantise {
        for block in bytes.chunks_exact_mut(format.block_bytes) {
            values.fill_with(|| rms * random.normal());
            quantise(&values, block);
        }
        return bytes;
    }
    // Nothing here writes such blocks. Random bits are drawn until the weights they stand for have the
    // right size; since that takes many draws, few blocks are drawn and then repeated.
    let n_drawn = n_blocks.min(256);
    let (drawn, rest) = bytes.split_at_mut(n_drawn * format.block_bytes);
    for block in drawn.chunks_exact_mut(format.block_bytes) {
        let mut best = f32::INFINITY;
        let mut candidate = vec![0u8; format.block_bytes];
        for _ in 0..20_000 {
            candidate.fill_with(|| random.next() as u8);
            (format.dequantise)(&candidate, &mut values);
            let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
            let off = (square.sqrt() / rms).ln().abs();
            if off < best {
                best = off;
                block.copy_from_slice(&candidate);
            }
            if best < 0.7 {
                break;
            }
        }
    }
    for (i, block) in rest.chunks_exact_mut(format.block_bytes).enumerate() {
        let at = i % n_drawn * format.block_bytes;
        block.copy_from_slice(&drawn[at..at + format.block_bytes]);
    }
    bytes
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal, mean 0 and variance 1: a sum of four uniform numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u32 & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 3.0f32.sqrt()
    }
}

/// The name of the format of vectors.
pub(crate) fn vector_format() -> &'static Format {
    format::by_name("F32").expect("F32 is a format")
}
