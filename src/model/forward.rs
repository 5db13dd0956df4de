//! The forward pass of a decoder, recorded as a graph.
//!
//! It sees a flat list of tokens, each with a position and a slot; see [`crate::kernels::Batch`].

use super::decoder::{Decoder, FeedForward, Norm};
use super::load::{GateUp, Layer, Model};
use crate::error::Result;
use crate::gpu::{Buffer, Size};
use crate::graph::{Binding, Dtype, Graph, Rows, Tensor};
use crate::kernels::{self as k, Batch, Epilogue, Kv, RopeTable, Sampled, Sampler};

/// What to do with the output rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Head {
    /// Leave the logits to be read back.
    Logits,
    /// Choose the next token of each slot. `greedy` records only the cheapest choice.
    Sample { greedy: bool },
    /// The negative log-likelihood of a given next token.
    Nll,
}

/// The memory that a step brings and the pass works on.
pub struct Step {
    pub batch: Batch,
    /// One per layer.
    pub kv: Vec<Kv>,
    pub rope: Option<RopeTable>,
    /// For layers with a window, where they rotate by another base.
    pub rope_local: Option<RopeTable>,
    pub sampler: Sampler,
    pub output_slots: Tensor,
    pub output_positions: Tensor,
    /// The next tokens whose likelihood is wanted.
    pub targets: Tensor,
    pub n_tokens: usize,
    pub n_outputs: usize,
    pub max_context: usize,
}

/// What a recorded pass leaves to be read.
pub struct Pass {
    /// (n_outputs, n_vocab), with [`Head::Logits`].
    pub logits: Option<Tensor>,
    pub sampled: Option<Sampled>,
    /// (n_outputs, 1), with [`Head::Nll`].
    pub nll: Option<Tensor>,
}

/// Records the pass over `step.n_tokens` tokens at most. `real`: how activations are stored.
pub fn record(g: &mut Graph, model: &Model, step: &Step, head: Head, real: Dtype) -> Result<Pass> {
    let (d, tensors) = (&model.decoder, &model.tensors);
    let x = k::embed(g, &step.batch, &tensors.embedding, d.embedding_scale)?;
    for (i, layer) in tensors.layers.iter().enumerate() {
        attention(g, d, layer, step, i, x, real)?;
        feed_forward(g, d, layer, x, real)?;
    }
    let outputs = Rows::up_to(step.n_outputs, Size::Outputs);
    let last = k::gather_rows(g, x, step.batch.outputs, outputs)?;
    let h = norm(g, d, last, &tensors.output_norm, real)?;
    let logits = k::linear(g, h, &tensors.head, None, Epilogue::Store)?;
    if let Some(cap) = d.logit_soft_cap {
        k::soft_cap(g, logits, cap)?;
    }
    let mut pass = Pass { logits: None, sampled: None, nll: None };
    match head {
        Head::Logits => {
            g.keep(logits);
            pass.logits = Some(logits);
        }
        Head::Sample { greedy } => {
            pass.sampled =
                Some(k::sample(g, logits, &step.sampler, step.output_slots, step.output_positions, greedy)?);
        }
        Head::Nll => {
            let nll = k::nll(g, logits, step.targets)?;
            g.keep(nll);
            pass.nll = Some(nll);
        }
    }
    Ok(pass)
}

fn attention(
    g: &mut Graph,
    d: &Decoder,
    layer: &Layer,
    step: &Step,
    i: usize,
    x: Tensor,
    real: Dtype,
) -> Result<()> {
    let h = norm(g, d, x, &layer.attention_norm, real)?;
    let n_columns = (d.n_heads + 2 * d.n_kv_heads) * d.head_dim;
    let qkv = g.temp("qkv", x.rows, n_columns, Dtype::F32);
    for (weight, first) in &layer.qkv {
        k::linear(g, h, weight, None, Epilogue::StoreAt { y: qkv, first: *first })?;
    }
    let qk_norm = layer.qk_norm.as_ref().map(|(q, k)| {
        let (Norm::Rms { eps } | Norm::Layer { eps }) = d.norm;
        (vector(g, q, d.head_dim), vector(g, k, d.head_dim), eps)
    });
    let window = d.windows[i];
    let rope = match window {
        Some(_) if step.rope_local.is_some() => step.rope_local.as_ref(),
        _ => step.rope.as_ref(),
    };
    let rope_params = k::RopeKv {
        n_heads: d.n_heads,
        n_kv_heads: d.n_kv_heads,
        head_dim: d.head_dim,
        rope_dim: d.rope.dim,
        pairs: d.rope.pairs,
        q_scale: d.q_scale,
        qk_norm,
    };
    let q = k::rope_kv(g, qkv, &step.batch, &step.kv[i], rope, &rope_params)?;
    let attention = k::Attention {
        n_heads: d.n_heads,
        n_kv_heads: d.n_kv_heads,
        head_dim: d.head_dim,
        window,
        soft_cap: d.attention_soft_cap,
        max_context: step.max_context,
    };
    let a = k::attention(g, q, &step.batch, &step.kv[i], &attention, real)?;
    residual(g, d, x, a, &layer.attention_output, layer.post_attention_norm.as_ref())
}

fn feed_forward(g: &mut Graph, d: &Decoder, layer: &Layer, x: Tensor, real: Dtype) -> Result<()> {
    let h = norm(g, d, x, &layer.ffn_norm, real)?;
    let (FeedForward::Gated(activation) | FeedForward::Plain(activation)) = d.feed_forward;
    let h = match &layer.gate_up {
        GateUp::Interleaved(weight) => {
            k::linear(g, h, weight, None, Epilogue::Gated { activation, dtype: real })?
        }
        GateUp::Apart { gate, up } => {
            let gate = k::linear(g, h, gate, None, Epilogue::Store)?;
            let up = k::linear(g, h, up, None, Epilogue::Store)?;
            k::glu(g, gate, up, activation, real)?
        }
        GateUp::Plain(weight) => {
            k::linear(g, h, weight, None, Epilogue::Activate { activation, dtype: real })?
        }
    };
    residual(g, d, x, h, &layer.down, layer.post_ffn_norm.as_ref())
}

/// x += W h, or x += norm(W h) where there is a norm after the layer.
fn residual(
    g: &mut Graph,
    d: &Decoder,
    x: Tensor,
    h: Tensor,
    weight: &crate::graph::PackedWeight,
    post_norm: Option<&Buffer>,
) -> Result<()> {
    match post_norm {
        None => k::linear(g, h, weight, None, Epilogue::Residual { y: x }).map(|_| ()),
        Some(gain) => {
            let y = k::linear(g, h, weight, None, Epilogue::Store)?;
            let y = norm(g, d, y, gain, Dtype::F32)?;
            k::add(g, x, y)
        }
    }
}

fn norm(g: &mut Graph, d: &Decoder, x: Tensor, gain: &Buffer, dtype: Dtype) -> Result<Tensor> {
    let gain = vector(g, gain, x.n_columns);
    match d.norm {
        Norm::Rms { eps } => k::rms_norm(g, x, gain, eps, dtype),
        Norm::Layer { eps } => k::layer_norm(g, x, gain, None, eps, dtype),
    }
}

fn vector(g: &mut Graph, buffer: &Buffer, len: usize) -> Tensor {
    g.external(buffer.label(), 1, len, Dtype::F32, Binding::Device(buffer.whole()))
}
