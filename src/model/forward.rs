//! The forward pass of a decoder, recorded as a graph.
//!
//! It sees a flat list of tokens, each with a position and a slot; see [`crate::kernels::Batch`].
//!
//! Longer than most files: the parts of a layer are short and read best in the order they run.

use super::decoder::{Decoder, FeedForward, Norm, NormPlacement, QkNorm};
use super::load::Model;
use super::tensors::{Cross, Ffn, Layer, Linear, NormWeights, OutputHead, Tensors};
use crate::error::{Error, Result};
use crate::gpu::Size;
use crate::graph::{Binding, Dtype, Graph, Rows, Tensor};
use crate::kernels::{self as k, Batch, Bias, Epilogue, Input, Kv, RopeTable, Sampled, Sampler};

/// What to do with the output rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Head {
    /// Leave the logits to be read back.
    Logits,
    /// Choose the next token of each slot. `greedy` records only the cheapest choice.
    Sample { greedy: bool },
    /// The negative log-likelihood of a given next token.
    Nll,
    /// Leave the hidden states of all tokens, and what an encoder's head makes of the output rows.
    Encode,
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
    /// (n_tokens): which of two texts each token belongs to.
    pub token_types: Tensor,
    /// The next tokens whose likelihood is wanted.
    pub targets: Tensor,
    /// (n_tokens): the last position of the text that an encoder reads, of its own tokens or of those
    /// that a decoder writes beside it.
    pub limits: Tensor,
    /// In encoder-decoder models.
    pub cross: Option<CrossStep>,
    pub n_tokens: usize,
    pub n_outputs: usize,
    pub max_context: usize,
}

/// The keys and values of the texts that an encoder has read, for the decoder's layers.
pub struct CrossStep {
    /// Where a token's text lies: pages and limits.
    pub batch: Batch,
    /// One per layer of the decoder.
    pub kv: Vec<Kv>,
    pub max_context: usize,
}

/// What a recorded pass leaves to be read.
pub struct Pass {
    /// (n_outputs, n_vocab), with [`Head::Logits`].
    pub logits: Option<Tensor>,
    pub sampled: Option<Sampled>,
    /// (n_outputs, 1), with [`Head::Nll`].
    pub nll: Option<Tensor>,
    /// (n_tokens, n_embd), with [`Head::Encode`].
    pub hidden: Option<Tensor>,
    /// The same before the model's last norm, where it has one.
    pub before_norm: Option<Tensor>,
}

/// Records the pass over `step.n_tokens` tokens at most. `real`: how activations are stored, Q8Sums where
/// inputs of products may be in blocks of bytes.
pub fn record(g: &mut Graph, model: &Model, step: &Step, head: Head, real: Dtype) -> Result<Pass> {
    let (d, tensors) = (&model.decoder, &model.tensors);
    let real = k::real_dtype(g, real);
    let x = layers(g, d, tensors, step, real)?;
    if head == Head::Encode {
        return encode(g, model, step, x, real);
    }
    let OutputHead::Next(output) = &tensors.head else {
        return Err(Error::Unsupported(format!(
            "{} reads whole texts and cannot go on with one; use embed, fill, classify, label or answer",
            model.title
        )));
    };
    let outputs = Rows::up_to(step.n_outputs, Size::Outputs);
    let last = k::gather_rows(g, x, step.batch.outputs, outputs)?;
    let h = optional_norm(g, d, last, tensors.output_norm.as_ref(), input_of(g, real, [output]))?;
    let logits = linear(g, h, output, Epilogue::Store)?;
    if let Some(cap) = d.logit_soft_cap {
        k::soft_cap(g, logits, cap)?;
    }
    let mut pass = Pass { logits: None, sampled: None, nll: None, hidden: None, before_norm: None };
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
        Head::Encode => {}
    }
    Ok(pass)
}

/// The hidden states after all layers: (n_tokens, n_embd).
fn layers(g: &mut Graph, d: &Decoder, tensors: &Tensors, step: &Step, real: Dtype) -> Result<Tensor> {
    let mut x = k::embed(g, &step.batch, &tensors.embedding, d.embedding_scale)?;
    if let Some(positions) = &tensors.positions {
        let by_position = Batch { ids: step.batch.positions, ..step.batch };
        let p = k::embed(g, &by_position, positions, 1.0)?;
        k::add(g, x, p)?;
    }
    if let Some(types) = &tensors.token_types {
        let by_type = Batch { ids: step.token_types, ..step.batch };
        let t = k::embed(g, &by_type, types, 1.0)?;
        k::add(g, x, t)?;
    }
    if let Some(weights) = &tensors.embedding_norm {
        x = norm(g, d, x, weights, Dtype::F32)?;
    }
    if let Some(projection) = &tensors.projection {
        x = linear(g, x, projection, Epilogue::Store)?;
    }
    let relative = tensors
        .relative
        .as_ref()
        .map(|(table, reach)| (vector(g, table, d.n_heads * (2 * reach + 1)), *reach));
    for (i, layer) in tensors.layers().enumerate() {
        x = self::layer(g, d, layer, step, i, relative, x, real)?;
    }
    Ok(x)
}

/// The end of an encoder's pass: hidden states of all tokens, the head on the output rows.
fn encode(g: &mut Graph, model: &Model, step: &Step, x: Tensor, real: Dtype) -> Result<Pass> {
    let (d, tensors) = (&model.decoder, &model.tensors);
    let hidden = optional_norm(g, d, x, tensors.output_norm.as_ref(), Dtype::F32)?;
    g.keep(hidden);
    let before_norm = tensors.output_norm.is_some().then_some(x);
    if let Some(x) = before_norm {
        g.keep(x);
    }
    let rows = Rows::up_to(step.n_outputs, Size::Outputs);
    let picked = |g: &mut Graph| k::gather_rows(g, hidden, step.batch.outputs, rows);
    let logits = match &tensors.head {
        OutputHead::None => None,
        OutputHead::Next(out) | OutputHead::Each(out) | OutputHead::Span(out) => {
            let h = picked(g)?;
            Some(linear(g, h, out, Epilogue::Store)?)
        }
        OutputHead::First { dense, out } => {
            let h = picked(g)?;
            let h = linear(g, h, dense, Epilogue::Activate { activation: d.pooler, dtype: real })?;
            Some(linear(g, h, out, Epilogue::Store)?)
        }
        OutputHead::Masked { dense, norm: weights, out } => {
            let h = picked(g)?;
            let activation = d.feed_forward.activation();
            let h = linear(g, h, dense, Epilogue::Activate { activation, dtype: Dtype::F32 })?;
            let h = norm(g, d, h, weights, input_of(g, real, [out]))?;
            Some(linear(g, h, out, Epilogue::Store)?)
        }
    };
    if let Some(logits) = logits {
        g.keep(logits);
    }
    Ok(Pass { logits, sampled: None, nll: None, hidden: Some(hidden), before_norm })
}

/// x after one layer. `relative`: the bias by distance.
#[expect(clippy::too_many_arguments, reason = "the one place where a layer's parts meet")]
fn layer(
    g: &mut Graph,
    d: &Decoder,
    layer: &Layer,
    step: &Step,
    i: usize,
    relative: Option<(Tensor, usize)>,
    x: Tensor,
    real: Dtype,
) -> Result<Tensor> {
    // How attention's first products and those of the feed-forward network read their inputs.
    let for_qkv = input_of(g, real, layer.qkv.iter().map(|(part, _)| part));
    let for_ffn = match &layer.ffn {
        Ffn::Gated { gate_up, .. } => input_of(g, real, [gate_up]),
        Ffn::GatedApart { gate, up, .. } => input_of(g, real, [gate, up]),
        Ffn::Plain { up, .. } => input_of(g, real, [up]),
        Ffn::Experts { .. } => real,
    };
    // In parallel, the feed-forward network reads what attention reads, after x has changed.
    let (h, parallel) = match (d.parallel, &layer.ffn_norm) {
        (false, _) => (optional_input(g, d, x, layer.attention_norm.as_ref(), for_qkv)?, None),
        (true, Some(own)) => {
            let h = optional_norm(g, d, x, layer.attention_norm.as_ref(), for_qkv)?;
            (Input::Plain(h), Some(Input::Plain(norm(g, d, x, own, for_ffn)?)))
        }
        (true, None) => {
            let for_both = if for_qkv == for_ffn { for_qkv } else { real };
            let h = optional_norm(g, d, x, layer.attention_norm.as_ref(), for_both)?;
            (Input::Plain(h), Some(Input::Plain(h)))
        }
    };
    let bias = match relative {
        Some((table, reach)) => Bias::Relative { table, reach },
        None if d.alibi => Bias::Alibi,
        None => Bias::None,
    };
    g.boundary();
    let for_output = input_of(g, real, [&layer.attention_output]);
    let a = attention(g, d, layer, step, i, bias, h, for_output)?;
    let mut x = residual(g, d, x, a, &layer.attention_output, layer.post_attention_norm.as_ref())?;
    if let Some(cross) = &layer.cross {
        let Some(text) = &step.cross else {
            return Err(Error::Input("a decoder beside an encoder needs a text that was read".into()));
        };
        let h = optional_norm(g, d, x, cross.norm.as_ref(), input_of(g, real, [&cross.q]))?;
        let a = cross_attention(g, d, cross, text, i, h, input_of(g, real, [&cross.output]))?;
        x = residual(g, d, x, a, &cross.output, cross.post_norm.as_ref())?;
    }
    let h = match parallel {
        Some(h) => h,
        // Experts read what the router reads.
        None if matches!(layer.ffn, Ffn::Experts { .. }) => {
            Input::Plain(optional_norm(g, d, x, layer.ffn_norm.as_ref(), real)?)
        }
        None => optional_input(g, d, x, layer.ffn_norm.as_ref(), for_ffn)?,
    };
    feed_forward(g, d, layer, step, x, h, real)
}

/// What attention to the encoder's text makes of `h`, before the output matrix.
fn cross_attention(
    g: &mut Graph,
    d: &Decoder,
    cross: &Cross,
    text: &CrossStep,
    i: usize,
    h: Tensor,
    real: Dtype,
) -> Result<Tensor> {
    let mut q = linear(g, h, &cross.q, Epilogue::Store)?;
    if d.q_scale != 1.0 {
        q = k::rope_kv(g, q, &text.batch, &text.kv[i], None, &split(d, d.n_heads, 0))?;
    }
    let attention = k::Attention {
        n_heads: d.n_heads,
        n_kv_heads: d.n_kv_heads,
        head_dim: d.head_dim,
        window: None,
        after: ALL_AFTER,
        soft_cap: None,
        bias: Bias::None,
        pattern: k::Pattern::Dense,
        max_context: text.max_context,
    };
    k::attention(g, q, &text.batch, &text.kv[i], &attention, real)
}

/// Records the encoder's pass over a text and the keys and values that each layer of the decoder makes
/// of what comes out.
pub fn record_source(g: &mut Graph, model: &Model, step: &Step, real: Dtype) -> Result<()> {
    let (Some((encoder, tensors)), Some(text)) = (&model.encoder, &step.cross) else {
        return Err(Error::Unsupported(format!("{} has no encoder beside a decoder", model.title)));
    };
    let real = k::real_dtype(g, real);
    let x = layers(g, encoder, tensors, step, real)?;
    let all = model.tensors.layers().filter_map(|layer| layer.cross.as_ref());
    let for_kv = input_of(g, real, all.flat_map(|cross| cross.kv.iter().map(|(part, _)| part)));
    let h = optional_norm(g, encoder, x, tensors.output_norm.as_ref(), for_kv)?;
    let d = &model.decoder;
    for (layer, kv) in model.tensors.layers().zip(&text.kv) {
        let Some(cross) = &layer.cross else { continue };
        let y = g.temp("cross kv", h.rows, 2 * d.n_kv_heads * d.head_dim, Dtype::F32);
        for (part, first) in &cross.kv {
            linear(g, h, part, Epilogue::StoreAt { y, first: *first })?;
        }
        k::rope_kv(g, y, &text.batch, kv, None, &split(d, 0, d.n_kv_heads))?;
    }
    Ok(())
}

/// Queries that are scaled, keys and values that are stored, and nothing that rotates.
fn split(d: &Decoder, n_heads: usize, n_kv_heads: usize) -> k::RopeKv {
    k::RopeKv {
        n_heads,
        n_kv_heads,
        head_dim: d.head_dim,
        rope_dim: 0,
        pairs: k::Pairs::Halves,
        q_scale: d.q_scale,
        qk_norm: None,
    }
}

/// As many positions after a token's own as there can be.
const ALL_AFTER: u32 = 1 << 30;

/// What attention makes of `h`, before the output matrix.
#[expect(clippy::too_many_arguments, reason = "the one place where attention's parts meet")]
fn attention(
    g: &mut Graph,
    d: &Decoder,
    layer: &Layer,
    step: &Step,
    i: usize,
    bias: Bias,
    h: Input,
    real: Dtype,
) -> Result<Tensor> {
    let n_columns = (d.n_heads + 2 * d.n_kv_heads) * d.head_dim;
    let qkv = g.temp("qkv", h.rows(), n_columns, Dtype::F32);
    for (j, (part, first)) in layer.qkv.iter().enumerate() {
        let normed = match (&layer.qk_norm, d.qk_norm) {
            (Some((q, k)), QkNorm::Whole) if j < 2 => Some(if j == 0 { q } else { k }),
            _ => None,
        };
        match normed {
            Some(weights) => {
                let y = linear_of(g, h, part, Epilogue::Store)?;
                let gain = vector(g, &weights.gain, weights.len);
                k::rms_norm_at(g, y, gain, d.norm.eps(), qkv, *first)?;
            }
            None => {
                linear_of(g, h, part, Epilogue::StoreAt { y: qkv, first: *first })?;
            }
        }
    }
    let qk_norm = match (&layer.qk_norm, d.qk_norm) {
        (Some((q, k)), QkNorm::PerHead) => {
            Some((vector(g, &q.gain, q.len), vector(g, &k.gain, k.len), d.norm.eps()))
        }
        _ => None,
    };
    let window = d.windows[i];
    let rope = match window {
        Some(_) if step.rope_local.is_some() => step.rope_local.as_ref(),
        _ => step.rope.as_ref(),
    };
    let rope_params = k::RopeKv {
        n_heads: d.n_heads,
        n_kv_heads: d.n_kv_heads,
        head_dim: d.head_dim,
        rope_dim: d.rope.as_ref().map_or(0, |rope| rope.dim),
        pairs: d.rope.as_ref().map_or(k::Pairs::Halves, |rope| rope.pairs),
        q_scale: d.q_scale,
        qk_norm,
    };
    let q = k::rope_kv(g, qkv, &step.batch, &step.kv[i], rope, &rope_params)?;
    let attention = k::Attention {
        n_heads: d.n_heads,
        n_kv_heads: d.n_kv_heads,
        head_dim: d.head_dim,
        window,
        // An encoder's window reaches as far ahead as behind.
        after: match (d.bidirectional, window) {
            (false, _) => 0,
            (true, Some(window)) => window - 1,
            (true, None) => ALL_AFTER,
        },
        soft_cap: d.attention_soft_cap,
        bias,
        pattern: d.patterns[i],
        max_context: step.max_context,
    };
    k::attention(g, q, &step.batch, &step.kv[i], &attention, real)
}

/// x with the feed-forward network of `h` added.
fn feed_forward(
    g: &mut Graph,
    d: &Decoder,
    layer: &Layer,
    step: &Step,
    x: Tensor,
    h: Input,
    real: Dtype,
) -> Result<Tensor> {
    let activation = d.feed_forward.activation();
    let post = layer.post_ffn_norm.as_ref();
    match &layer.ffn {
        Ffn::Gated { gate_up, down } => {
            let h = linear_of(g, h, gate_up, Epilogue::Gated { activation, dtype: real })?;
            residual(g, d, x, h, down, post)
        }
        Ffn::GatedApart { gate, up, down } => {
            let gate = linear_of(g, h, gate, Epilogue::Store)?;
            let up = linear_of(g, h, up, Epilogue::Store)?;
            let h = k::glu(g, gate, up, activation, real)?;
            residual(g, d, x, h, down, post)
        }
        Ffn::Plain { up, down } => {
            let h = linear_of(g, h, up, Epilogue::Activate { activation, dtype: real })?;
            residual(g, d, x, h, down, post)
        }
        Ffn::Experts { router, up, down } => {
            let FeedForward::Experts(e) = d.feed_forward else {
                return Err(Error::Unsupported("experts without a description of them".into()));
            };
            let Input::Plain(h) = h else {
                return Err(Error::Unsupported("experts of an input that was not normalised".into()));
            };
            let scores = k::linear(g, h, router, None, Epilogue::Store)?;
            let routes = k::route(g, scores, e.n_used, e.normalise)?;
            if let Some(capacity) = e.capacity {
                k::expert_capacity(g, &routes, step.batch.slots, capacity)?;
            }
            let h = k::expert_up(g, h, up, e.n_experts, e.gated, &routes, activation, real)?;
            k::expert_down(g, h, down, &routes, x)?;
            Ok(x)
        }
    }
}

/// x + W h, with a norm before or after the addition where there is one.
fn residual(
    g: &mut Graph,
    d: &Decoder,
    x: Tensor,
    h: Tensor,
    weight: &Linear,
    post_norm: Option<&NormWeights>,
) -> Result<Tensor> {
    match post_norm {
        None => linear(g, h, weight, Epilogue::Residual { y: x }),
        Some(weights) if d.placement == NormPlacement::AfterResidual => {
            linear(g, h, weight, Epilogue::Residual { y: x })?;
            norm(g, d, x, weights, Dtype::F32)
        }
        Some(weights) => {
            let y = linear(g, h, weight, Epilogue::Store)?;
            let y = norm(g, d, y, weights, Dtype::F32)?;
            k::add(g, x, y)?;
            Ok(x)
        }
    }
}

fn linear(g: &mut Graph, x: Tensor, linear: &Linear, epilogue: Epilogue) -> Result<Tensor> {
    let bias = linear.bias.as_ref().map(|bias| vector(g, bias, linear.weight.n_rows));
    k::linear(g, x, &linear.weight, bias, epilogue)
}

fn linear_of(g: &mut Graph, x: Input, linear: &Linear, epilogue: Epilogue) -> Result<Tensor> {
    let bias = linear.bias.as_ref().map(|bias| vector(g, bias, linear.weight.n_rows));
    x.linear(g, &linear.weight, bias, epilogue)
}

/// How an input of these products is stored, where activations are stored as `real`.
fn input_of<'a>(g: &Graph, real: Dtype, of: impl IntoIterator<Item = &'a Linear>) -> Dtype {
    let formats: Vec<_> = of.into_iter().map(|linear| linear.weight.format).collect();
    k::input_dtype(g, real, &formats)
}

/// x for products alone, which may normalise it themselves.
fn optional_input(
    g: &mut Graph,
    d: &Decoder,
    x: Tensor,
    weights: Option<&NormWeights>,
    real: Dtype,
) -> Result<Input> {
    match (weights, d.norm) {
        (Some(weights), Norm::Rms { eps }) => {
            let gain = vector(g, &weights.gain, weights.len);
            k::normed(g, x, gain, eps, real)
        }
        _ => optional_norm(g, d, x, weights, real).map(Input::Plain),
    }
}

fn optional_norm(
    g: &mut Graph,
    d: &Decoder,
    x: Tensor,
    weights: Option<&NormWeights>,
    dtype: Dtype,
) -> Result<Tensor> {
    match weights {
        Some(weights) => norm(g, d, x, weights, dtype),
        None => Ok(x),
    }
}

fn norm(g: &mut Graph, d: &Decoder, x: Tensor, weights: &NormWeights, dtype: Dtype) -> Result<Tensor> {
    let gain = vector(g, &weights.gain, weights.len);
    match d.norm {
        Norm::Rms { eps } => k::rms_norm(g, x, gain, eps, dtype),
        Norm::Layer { eps } => {
            let bias = weights.bias.as_ref().map(|bias| vector(g, bias, weights.len));
            k::layer_norm(g, x, gain, bias, eps, dtype)
        }
    }
}

fn vector(g: &mut Graph, values: &Binding, len: usize) -> Tensor {
    g.external(values.label(), 1, len, Dtype::F32, values.clone())
}
