//! The description of a decoder-only model. Fields name mechanisms, never models.

use super::config::{Config, Key};
use crate::error::{Error, Result};
use crate::kernels::{Activation, Pairs, Scaling};

/// A normalisation of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    Rms { eps: f32 },
    Layer { eps: f32 },
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The first dimensions of each head, which rotate.
    pub dim: usize,
    pub pairs: Pairs,
    pub base: f64,
    /// The base of layers with a window, where it is another one.
    pub local_base: Option<f64>,
    pub scaling: Scaling,
}

/// The second half of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedForward {
    /// down(f(gate x) * up x)
    Gated(Activation),
    /// down(f(up x))
    Plain(Activation),
}

/// Everything the forward pass needs to know of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    pub n_layers: usize,
    pub n_embd: usize,
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
    pub rope: Rope,
    /// Multiplied into the queries.
    pub q_scale: f32,
    /// Normalises each head of q and k before the rotation.
    pub qk_norm: bool,
    /// Per layer: how many positions a token sees, itself included. `None` is all.
    pub windows: Vec<Option<u32>>,
    pub attention_soft_cap: Option<f32>,
    pub logit_soft_cap: Option<f32>,
    pub feed_forward: FeedForward,
    /// Norms after attention and feed-forward too, before the residual is added.
    pub post_norms: bool,
    pub embedding_scale: f32,
    /// The output head is the embedding.
    pub tied: bool,
}

impl Decoder {
    /// The sizes that every decoder has, with the mechanisms of plain Llama-like models.
    pub fn sizes(config: &Config) -> Result<Decoder> {
        let n_layers = config.usize(Key("block_count", "num_hidden_layers"))?;
        let n_embd = config.usize(Key("embedding_length", "hidden_size"))?;
        let n_heads = config.usize(Key("attention.head_count", "num_attention_heads"))?;
        let n_kv_heads = config.usize_or(Key("attention.head_count_kv", "num_key_value_heads"), n_heads)?;
        let heads = Key("attention.head_count", "num_attention_heads");
        if n_heads == 0 || n_kv_heads == 0 || n_heads % n_kv_heads != 0 {
            return Err(config.error(heads, &format!("{n_heads} heads cannot share {n_kv_heads} key heads")));
        }
        if n_layers == 0 || n_layers > 4096 {
            return Err(config.error(
                Key("block_count", "num_hidden_layers"),
                &format!("expected 1 to 4096 layers, found {n_layers}"),
            ));
        }
        let head_dim = config.usize_or(Key("attention.key_length", "head_dim"), n_embd / n_heads)?;
        if head_dim == 0 || head_dim % 4 != 0 || head_dim > 256 {
            return Err(Error::Unsupported(format!(
                "heads of {head_dim} dimensions; the attention kernels take multiples of 4 up to 256"
            )));
        }
        let eps = config.f64_or(Key("attention.layer_norm_rms_epsilon", "rms_norm_eps"), 1e-5)? as f32;
        Ok(Decoder {
            n_layers,
            n_embd,
            n_heads,
            n_kv_heads,
            head_dim,
            n_ff: config.usize(Key("feed_forward_length", "intermediate_size"))?,
            // Read off the embedding when the weights are loaded.
            n_vocab: config.usize_or(Key("vocab_size", "vocab_size"), 0)?,
            n_context: config.usize_or(Key("context_length", "max_position_embeddings"), 2048)?,
            norm: Norm::Rms { eps },
            gain_offset: 0.0,
            rope: Rope {
                dim: config.usize_or(Key("rope.dimension_count", "rope_dim"), head_dim)?.min(head_dim),
                pairs: Pairs::Halves,
                base: config.f64_or(Key("rope.freq_base", "rope_theta"), 10_000.0)?,
                local_base: None,
                scaling: scaling(config)?,
            },
            q_scale: 1.0 / (head_dim as f32).sqrt(),
            qk_norm: false,
            windows: vec![None; n_layers],
            attention_soft_cap: None,
            logit_soft_cap: None,
            feed_forward: FeedForward::Gated(Activation::Silu),
            post_norms: false,
            embedding_scale: 1.0,
            tied: config.flag("tie_word_embeddings", false),
        })
    }

    /// Bytes of KV cache per position of one sequence, all layers together.
    pub fn kv_bytes_per_position(&self, bytes_per_element: f64) -> u64 {
        let elements = 2 * self.n_layers * self.n_kv_heads * self.head_dim;
        (elements as f64 * bytes_per_element) as u64
    }
}

/// How the rotations are stretched for contexts longer than the model was trained on.
fn scaling(config: &Config) -> Result<Scaling> {
    let Some(json) = config.json("rope_scaling") else { return gguf_scaling(config) };
    let number = |name: &str| json.get(name).and_then(serde_json::Value::as_f64);
    let kind = json.get("rope_type").or(json.get("type")).and_then(serde_json::Value::as_str).unwrap_or("");
    let key = Key("rope.scaling.type", "rope_scaling");
    let needed =
        |name: &str| number(name).ok_or_else(|| config.error(key, &format!("expected a number {name}")));
    let n_context = config.f64_or(Key("context_length", "max_position_embeddings"), 2048.0)?;
    let original_context = number("original_max_position_embeddings").unwrap_or(n_context);
    match kind {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor: needed("factor")? }),
        "llama3" => Ok(Scaling::Llama3 {
            factor: needed("factor")?,
            low_freq_factor: needed("low_freq_factor")?,
            high_freq_factor: needed("high_freq_factor")?,
            original_context,
        }),
        "yarn" => Ok(Scaling::Yarn {
            factor: needed("factor")?,
            original_context,
            beta_fast: number("beta_fast").unwrap_or(32.0),
            beta_slow: number("beta_slow").unwrap_or(1.0),
            attention_factor: number("attention_factor"),
        }),
        _ => {
            Err(Error::Unsupported(format!("rope scaling \"{kind}\"; known: default, linear, llama3, yarn")))
        }
    }
}

fn gguf_scaling(config: &Config) -> Result<Scaling> {
    let factor = config.f64_or(Key("rope.scaling.factor", ""), 1.0)?;
    let n_context = config.f64_or(Key("context_length", ""), 2048.0)?;
    match config.text(Key("rope.scaling.type", "")) {
        None | Some("none") => Ok(Scaling::None),
        Some("linear") => Ok(Scaling::Linear { factor }),
        Some("yarn") => Ok(Scaling::Yarn {
            factor,
            original_context: config.f64_or(Key("rope.scaling.original_context_length", ""), n_context)?,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
        }),
        Some(kind) => Err(Error::Unsupported(format!("rope scaling \"{kind}\"; known: none, linear, yarn"))),
    }
}
