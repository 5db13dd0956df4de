//! The description of a decoder-only model. Fields name mechanisms, never models.

use super::config::{Config, Key};
use super::rotary::{self, Rope};
use crate::error::{Error, Result};
use crate::kernels::{Activation, Pattern};

/// A normalisation of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    Rms { eps: f32 },
    Layer { eps: f32 },
}

impl Norm {
    pub fn eps(self) -> f32 {
        let (Norm::Rms { eps } | Norm::Layer { eps }) = self;
        eps
    }
}

/// Where a layer's norms stand around its two halves, f = attention or feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// x + f(norm(x))
    Before,
    /// x + norm(f(norm(x)))
    BeforeAndAfter,
    /// x + norm(f(x))
    After,
    /// norm(x + f(x))
    AfterResidual,
}

/// Whether queries and keys are normalised before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    None,
    /// Each head for itself.
    PerHead,
    /// All heads of a token together.
    Whole,
}

/// The second half of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedForward {
    /// down(f(gate x) * up x)
    Gated(Activation),
    /// down(f(up x))
    Plain(Activation),
    /// The sum of some of many such networks.
    Experts(Experts),
}

impl FeedForward {
    pub fn activation(self) -> Activation {
        let (FeedForward::Gated(activation)
        | FeedForward::Plain(activation)
        | FeedForward::Experts(Experts { activation, .. })) = self;
        activation
    }
}

/// The best `n_used` of `n_experts` networks, weighted by the router's softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    pub activation: Activation,
    pub n_experts: usize,
    pub n_used: usize,
    /// The weights of those used add up to 1.
    pub normalise: bool,
    /// down(f(gate x) * up x) rather than down(f(up x)).
    pub gated: bool,
    /// Tokens of a text that one expert serves in a pass at most.
    pub capacity: Option<usize>,
}

/// A bias of the scores by distance, in buckets that widen with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relative {
    pub n_buckets: usize,
    /// Beyond it all distances are one.
    pub max_distance: usize,
}

/// Everything the forward pass needs to know of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    pub n_layers: usize,
    pub n_embd: usize,
    /// The width of the embedding, which a matrix brings to `n_embd` where they differ.
    pub embedding_width: usize,
    /// Layers that the file has; each stands for `n_layers / n_groups` in turn.
    pub n_groups: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub n_ff: usize,
    pub n_vocab: usize,
    /// The longest sequence the model was made for.
    pub n_context: usize,
    pub norm: Norm,
    /// Added to every norm's gain (files of some families store gain - 1).
    pub gain_offset: f32,
    pub placement: NormPlacement,
    /// Attention and feed-forward read the same input, and both are added to it.
    pub parallel: bool,
    pub rope: Option<Rope>,
    /// A table of positions is added to the embedding, from this row on.
    pub learned_positions: Option<usize>,
    /// Scores fall with the distance, by a slope per head.
    pub alibi: bool,
    pub relative: Option<Relative>,
    /// Multiplied into the queries.
    pub q_scale: f32,
    pub qk_norm: QkNorm,
    /// Per layer: how many positions a token sees, itself included. `None` is all.
    pub windows: Vec<Option<u32>>,
    /// Per layer: which of those a token sees.
    pub patterns: Vec<Pattern>,
    pub attention_soft_cap: Option<f32>,
    pub logit_soft_cap: Option<f32>,
    pub feed_forward: FeedForward,
    /// Which layers have experts, where not all do; the others have one network.
    pub expert_layers: Option<Vec<bool>>,
    pub embedding_scale: f32,
    /// Multiplied into the gain of the last norm.
    pub output_scale: f32,
    /// The output head is the embedding.
    pub tied: bool,
    /// Tokens see those after them too: an encoder.
    pub bidirectional: bool,
    /// Beside an encoder, whose text its layers also attend to: the token that a decoder starts with.
    pub start_id: Option<u32>,
    /// The token that ends a text, where `config.json` names one; a tokenizer may know more.
    pub end_id: Option<u32>,
    /// The activation between the two matrices of a classifier's head.
    pub pooler: Activation,
}

impl Decoder {
    /// The sizes that every decoder has, with the mechanisms of plain Llama-like models.
    pub fn sizes(config: &Config) -> Result<Decoder> {
        let n_layers = config.usize(Key("block_count", "num_hidden_layers|n_layer|num_layers|n_layers"))?;
        let n_embd = config.usize(Key("embedding_length", "hidden_size|n_embd|dim|d_model"))?;
        let heads = Key(
            "attention.head_count",
            "num_attention_heads|n_head|num_heads|n_heads|encoder_attention_heads",
        );
        let n_heads = config.usize(heads)?;
        let n_kv_heads = config.usize_or(Key("attention.head_count_kv", "num_key_value_heads"), n_heads)?;
        if n_heads == 0 || n_kv_heads == 0 || n_heads % n_kv_heads != 0 {
            return Err(config.error(heads, &format!("{n_heads} heads cannot share {n_kv_heads} key heads")));
        }
        if n_layers == 0 || n_layers > 4096 {
            return Err(config.error(
                Key("block_count", "num_hidden_layers"),
                &format!("expected 1 to 4096 layers, found {n_layers}"),
            ));
        }
        let head_dim = config.usize_or(Key("attention.key_length", "head_dim|d_kv"), n_embd / n_heads)?;
        if head_dim == 0 || head_dim % 4 != 0 || head_dim > 256 {
            return Err(Error::Unsupported(format!(
                "heads of {head_dim} dimensions; the attention kernels take multiples of 4 up to 256"
            )));
        }
        Ok(Decoder {
            n_layers,
            n_embd,
            embedding_width: n_embd,
            n_groups: n_layers,
            n_heads,
            n_kv_heads,
            head_dim,
            n_ff: config.usize_or(
                Key(
                    "feed_forward_length",
                    "intermediate_size|n_inner|ffn_dim|ffn_hidden_size|hidden_dim|d_ff",
                ),
                4 * n_embd,
            )?,
            // Read off the embedding when the weights are loaded.
            n_vocab: config.usize_or(Key("vocab_size", "vocab_size"), 0)?,
            n_context: config.usize_or(Key("context_length", "max_position_embeddings|n_positions"), 2048)?,
            norm: Norm::Rms { eps: eps(config)? },
            gain_offset: 0.0,
            placement: NormPlacement::Before,
            parallel: false,
            rope: Some(rotary::of(config, head_dim)?),
            learned_positions: None,
            alibi: false,
            relative: None,
            q_scale: 1.0 / (head_dim as f32).sqrt(),
            qk_norm: QkNorm::None,
            windows: vec![None; n_layers],
            patterns: patterns(config, n_layers)?,
            attention_soft_cap: None,
            logit_soft_cap: None,
            feed_forward: FeedForward::Gated(activation(config, Activation::Silu)?),
            expert_layers: None,
            embedding_scale: 1.0,
            output_scale: 1.0,
            tied: config.flag("tie_word_embeddings", false),
            bidirectional: false,
            start_id: None,
            end_id: config.json("eos_token_id").and_then(|id| u32::try_from(id.as_u64()?).ok()),
            pooler: Activation::Tanh,
        })
    }

    /// As [`Decoder::sizes`], for models with layer norms, biases and a plain feed-forward network.
    pub fn with_layer_norms(config: &Config, default: Activation) -> Result<Decoder> {
        let mut decoder = Decoder::sizes(config)?;
        decoder.norm = Norm::Layer { eps: eps(config)? };
        decoder.feed_forward = FeedForward::Plain(activation(config, default)?);
        Ok(decoder)
    }

    /// As [`Decoder::with_layer_norms`], for encoders with norms after each addition and learned
    /// positions from row `first_position` on.
    pub fn encoder(config: &Config, first_position: usize) -> Result<Decoder> {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Gelu)?;
        // Where the file does not say.
        if let (Norm::Layer { eps }, None) = (&mut decoder.norm, config.number(EPS)?) {
            *eps = 1e-12;
        }
        decoder.placement = NormPlacement::AfterResidual;
        decoder.rope = None;
        decoder.learned_positions = Some(first_position);
        decoder.bidirectional = true;
        Ok(decoder)
    }

    /// The window of `window` positions in the layers that `is_local` names.
    pub fn set_windows(&mut self, window: usize, is_local: impl Fn(usize) -> bool) {
        let window = (window > 0).then_some(window as u32);
        self.windows = (0..self.n_layers).map(|layer| window.filter(|_| is_local(layer))).collect();
        self.n_groups = self.n_layers;
        self.patterns.resize(self.n_layers, Pattern::Dense);
    }

    /// Bytes of KV cache per position of one sequence, all layers together.
    pub fn kv_bytes_per_position(&self, bytes_per_element: f64) -> u64 {
        let elements = 2 * self.n_layers * self.n_kv_heads * self.head_dim;
        (elements as f64 * bytes_per_element) as u64
    }
}

/// The sparse pattern that `config.json` may name for any decoder: `"sparse_attention": {"pattern":
/// "strided" | "fixed", "stride": 128, "summary": 8, "layers": [1, 3]}`, all layers where none are listed.
fn patterns(config: &Config, n_layers: usize) -> Result<Vec<Pattern>> {
    let Some(sparse) = config.json("sparse_attention") else { return Ok(vec![Pattern::Dense; n_layers]) };
    let fail = |message: &str| config.error(Key("", "sparse_attention"), message);
    let number =
        |name: &str| sparse.get(name).and_then(|n| u32::try_from(n.as_u64()?).ok()).filter(|&n| n > 0);
    let stride = number("stride").ok_or_else(|| fail("expected a stride of at least 1"))?;
    let pattern = match sparse.get("pattern").and_then(|pattern| pattern.as_str()) {
        Some("strided") => Pattern::Strided { stride },
        Some("fixed") => Pattern::Fixed { stride, summary: number("summary").unwrap_or(1).min(stride) },
        _ => return Err(fail("expected the pattern \"strided\" or \"fixed\"")),
    };
    let layers = sparse.get("layers").and_then(|layers| layers.as_array());
    let listed = |i: usize| layers.is_none_or(|all| all.iter().any(|layer| layer.as_u64() == Some(i as u64)));
    Ok((0..n_layers).map(|i| if listed(i) { pattern } else { Pattern::Dense }).collect())
}

const EPS: Key = Key(
    "attention.layer_norm_rms_epsilon|attention.layer_norm_epsilon",
    "rms_norm_eps|layer_norm_epsilon|layer_norm_eps|norm_epsilon|norm_eps",
);

fn eps(config: &Config) -> Result<f32> {
    Ok(config.f64_or(EPS, 1e-5)? as f32)
}

/// The activation that the file names, or the family's.
pub fn activation(config: &Config, default: Activation) -> Result<Activation> {
    let key = Key("", "hidden_activation|hidden_act|activation_function|activation|dense_act_fn");
    match config.text(key) {
        None => Ok(default),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("relu") => Ok(Activation::Relu),
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh") => Ok(Activation::GeluTanh),
        Some("quick_gelu") => Ok(Activation::GeluQuick),
        Some(other) => Err(Error::Unsupported(format!(
            "activation \"{other}\"; known: silu, relu, gelu, gelu_new, gelu_pytorch_tanh, quick_gelu"
        ))),
    }
}
