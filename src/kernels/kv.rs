//! What the kernels of one step share: the batch and the paged cache.

use crate::graph::{Dtype, Rows, TEXEL_WORDS, Tensor};

/// Positions of one page of the cache.
pub const PAGE: usize = 32;

/// Stands for "the last token sampled for this token's slot" in the list of ids.
pub const FROM_SLOT: u32 = u32::MAX;

/// The slot of a token that only fills up the batch.
pub const NO_SLOT: u32 = u32::MAX;

/// The tokens of a step. All tensors are U32.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Tokens in the batch.
    pub rows: Rows,
    /// (n_tokens): token ids, or [`FROM_SLOT`].
    pub ids: Tensor,
    /// (n_tokens): each token's place in its sequence.
    pub positions: Tensor,
    /// (n_tokens): the sequence that each token belongs to, or [`NO_SLOT`].
    pub slots: Tensor,
    /// (n_slots, max_pages): the page of positions 32 i .. of each slot.
    pub pages: Tensor,
    /// (n_slots): the last token sampled.
    pub last_token: Tensor,
    /// (n_tokens): the last position of its sequence that each token may see.
    pub limits: Tensor,
    /// (n_outputs): the tokens whose logits are wanted.
    pub outputs: Tensor,
    pub max_pages: usize,
}

/// The keys and values of one layer: pools of [page][kv head][position in page][head_dim].
#[derive(Debug, Clone, Copy)]
pub struct Kv {
    pub k: Tensor,
    pub v: Tensor,
    pub dtype: Dtype,
    pub n_kv_heads: usize,
    pub head_dim: usize,
}

impl Kv {
    /// Words of the keys (or the values) of one layer.
    pub fn words(n_pages: usize, n_kv_heads: usize, head_dim: usize, dtype: Dtype) -> usize {
        n_pages * n_kv_heads * PAGE * dtype.words(head_dim)
    }

    /// The name of the file that stores this type, for the roles `kv_read` and `kv_write`.
    pub fn role(&self) -> &'static str {
        match self.dtype {
            Dtype::F32 | Dtype::U32 | Dtype::Q8Sums => "f32",
            Dtype::F16 if self.k.texel == Some(TEXEL_WORDS) => "f16_octets",
            Dtype::F16 => "f16",
            Dtype::Q8 => "q8",
        }
    }
}
