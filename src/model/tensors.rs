//! The weights of a model as they lie in device memory, by what they are for.

use crate::graph::{Binding, PackedWeight};

/// A matrix and the bias that is added to its product.
pub struct Linear {
    /// (n_rows, n_columns)
    pub weight: PackedWeight,
    /// (n_rows)
    pub bias: Option<Binding>,
}

/// The vectors of a normalisation, (n_channels) each.
pub struct NormWeights {
    pub gain: Binding,
    pub bias: Option<Binding>,
    pub len: usize,
}

/// The weights of a decoder.
pub struct Tensors {
    /// (n_vocab, n_embd)
    pub embedding: PackedWeight,
    /// (n_positions, n_embd)
    pub positions: Option<PackedWeight>,
    /// (n_types, n_embd): which of two texts a token belongs to.
    pub token_types: Option<PackedWeight>,
    pub embedding_norm: Option<NormWeights>,
    /// (n_embd, embedding_width), where they differ.
    pub projection: Option<Linear>,
    /// (n_heads, 2 * reach + 1): the bias of each distance, and the reach.
    pub relative: Option<(Binding, usize)>,
    pub head: OutputHead,
    pub output_norm: Option<NormWeights>,
    /// Those of the file; see [`Tensors::layers`].
    pub groups: Vec<Layer>,
    pub n_layers: usize,
}

impl Tensors {
    /// The weights of each layer in turn.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        let each = self.n_layers / self.groups.len().max(1);
        self.groups.iter().flat_map(move |layer| std::iter::repeat_n(layer, each))
    }
}

/// What makes outputs of the last hidden states.
pub enum OutputHead {
    /// (n_vocab, n_embd), the embedding where they are tied: the next token.
    Next(Linear),
    /// The likelihood of each token at its own place: dense, activation, norm, then (n_vocab, n_embd).
    Masked {
        dense: Linear,
        norm: NormWeights,
        out: Linear,
    },
    /// Classes of the whole text, from its first token.
    First {
        dense: Linear,
        out: Linear,
    },
    /// Classes of each token.
    Each(Linear),
    /// Where an answer starts and ends: (2, n_embd).
    Span(Linear),
    None,
}

/// The weights of one layer.
pub struct Layer {
    pub attention_norm: Option<NormWeights>,
    /// Parts of (n_heads * head_dim + 2 * n_kv_heads * head_dim, n_embd), one per run of rows of the
    /// same format (or one each for q, k and v), and the first row of each.
    pub qkv: Vec<(Linear, usize)>,
    pub qk_norm: Option<(NormWeights, NormWeights)>,
    /// (n_embd, n_heads * head_dim)
    pub attention_output: Linear,
    pub post_attention_norm: Option<NormWeights>,
    pub cross: Option<Cross>,
    /// Absent where attention and feed-forward share one norm.
    pub ffn_norm: Option<NormWeights>,
    pub ffn: Ffn,
    pub post_ffn_norm: Option<NormWeights>,
}

/// Attention to an encoder's text.
pub struct Cross {
    pub norm: Option<NormWeights>,
    /// (n_heads * head_dim, n_embd)
    pub q: Linear,
    /// As [`Layer::qkv`], of keys and values alone.
    pub kv: Vec<(Linear, usize)>,
    /// (n_embd, n_heads * head_dim)
    pub output: Linear,
    pub post_norm: Option<NormWeights>,
}

/// A feed-forward network.
pub enum Ffn {
    /// (2 * n_ff, n_embd), gate and up rows in turn; (n_embd, n_ff)
    Gated {
        gate_up: Linear,
        down: Linear,
    },
    /// Where the formats of gate and up differ.
    GatedApart {
        gate: Linear,
        up: Linear,
        down: Linear,
    },
    Plain {
        up: Linear,
        down: Linear,
    },
    /// (n_experts, n_embd); (n_experts * 2 * n_ff, n_embd), gate and up rows in turn, or
    /// (n_experts * n_ff, n_embd) without gates; (n_experts * n_embd, n_ff)
    Experts {
        router: PackedWeight,
        up: PackedWeight,
        down: PackedWeight,
    },
}
