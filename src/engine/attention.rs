//! What attention weighs, over a whole text: recorded for one pass, never in the plans that generate.

use super::memory::{Memory, StepData};
use super::{Encoder, EncoderInput, Engine, PAGE};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Sizes};
use crate::graph::{Dtype, Graph, Scratch, Tensor};
use crate::model::{Decoder, Head, Model, record};

/// Whose attention it is, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttentionPart {
    /// A decoder's to its own text.
    Decoder,
    /// An encoder's to its own text.
    Encoder,
    /// A decoder's to the text that its encoder read.
    Cross,
}

/// What the heads of one layer weigh.
#[derive(Debug, Clone)]
pub struct AttentionMap {
    pub part: AttentionPart,
    /// From 0.
    pub layer: usize,
    pub n_heads: usize,
    pub n_tokens: usize,
    pub n_positions: usize,
    /// (n_heads, n_tokens, n_positions): what a token weighs each position with; rows add up to 1.
    pub weights: Vec<f32>,
}

/// Bytes of weights in one pass at most.
const BYTES_MAX: u64 = 1 << 30;

impl Engine {
    /// What attention weighs in every layer of a decoder, over a text; beside an encoder also its own and the
    /// decoder's to `source`, the text that it reads.
    ///
    /// Fails while sequences are running, since it uses their cache.
    pub fn attention(&mut self, source: Option<&[u32]>, tokens: &[u32]) -> Result<Vec<AttentionMap>> {
        self.check_tokens(tokens)?;
        let mut maps = Vec::new();
        let model = self.model.clone();
        if let Some(ids) = source {
            self.read_source(ids)?;
            maps = self.source.as_mut().map_or(Ok(Vec::new()), |source| source.attention(&model, ids))?;
        }
        let n_source = source.map_or(0, <[u32]>::len);
        let n_positions = tokens.len().max(n_source);
        check_bytes(&model.decoder, tokens.len(), n_positions)?;
        let pages = self.fresh_pages(tokens.len())?;
        let result = self.watch(tokens, n_positions);
        self.pages.release(&pages);
        // Each layer attends to its own text, then to the encoder's, where there is one.
        let per_layer = 1 + usize::from(self.source.is_some());
        for (i, weights) in result?.into_iter().enumerate() {
            let (part, n_positions) = match i % per_layer {
                0 => (AttentionPart::Decoder, tokens.len()),
                _ => (AttentionPart::Cross, n_source),
            };
            maps.push(weights.map(part, i / per_layer, model.decoder.n_heads, n_positions));
        }
        Ok(maps)
    }

    fn watch(&mut self, tokens: &[u32], n_positions: usize) -> Result<Vec<Weights>> {
        let mut g = Graph::new(self.model.gpu.caps());
        g.watch(n_positions);
        let n_tokens = tokens.len().min(self.options.chunk);
        let mut step = self.memory.step(&mut g, &self.model.decoder, n_tokens, 1);
        step.cross = self.source.as_ref().map(|source| source.cross(&mut g, &step));
        record(&mut g, &self.model, &step, Head::Logits, self.options.activations)?;
        let tensors = g.weights().to_vec();
        let gpu = &self.model.gpu;
        let program = g.build(gpu, &mut Scratch::default())?;
        let mut all: Vec<Weights> = tensors.iter().map(|_| Weights::default()).collect();
        for (i, ids) in tokens.chunks(n_tokens).enumerate() {
            let mut data = StepData::of(ids, i * n_tokens, tokens.len() - 1, &[]);
            if let Some(source) = &self.source {
                data.limits = vec![source.limit(0); ids.len()];
            }
            self.memory.write(gpu, &data);
            gpu.run(&program.plan, &data.sizes(i * n_tokens + ids.len()))?;
            for (weights, tensor) in all.iter_mut().zip(&tensors) {
                weights.extend(&program.read(gpu, *tensor)?, tensor, ids.len());
            }
        }
        Ok(all)
    }
}

impl Encoder {
    /// What attention weighs in every layer, over a text.
    pub fn attention(&mut self, text: &EncoderInput) -> Result<Vec<AttentionMap>> {
        self.check(0, text)?;
        let data = text_data(&text.ids, &text.token_types);
        let model = self.model.clone();
        check_bytes(&model.decoder, text.ids.len(), text.ids.len())?;
        watch(&model.gpu, &self.memory, &model.decoder, &data, AttentionPart::Encoder, |g| {
            let step = self.memory.step(g, &model.decoder, text.ids.len(), 1);
            record(g, &model, &step, Head::Encode, self.activations).map(|_| ())
        })
    }
}

/// A text in slot 0 of an encoder.
fn text_data(ids: &[u32], token_types: &[u32]) -> StepData {
    let mut data = StepData::of(ids, 0, usize::MAX, &[]);
    data.limits = vec![ids.len() as u32 - 1; ids.len()];
    data.token_types = (0..ids.len()).map(|i| token_types.get(i).copied().unwrap_or(0)).collect();
    data
}

impl super::source::Source {
    /// What the encoder's attention weighs in every layer, over a text.
    fn attention(&mut self, model: &Model, ids: &[u32]) -> Result<Vec<AttentionMap>> {
        let Some((encoder, _)) = &model.encoder else { return Ok(Vec::new()) };
        check_bytes(encoder, ids.len(), ids.len())?;
        let data = text_data(ids, &[]);
        watch(&model.gpu, &self.memory, encoder, &data, AttentionPart::Encoder, |g| {
            self.record(g, model, ids.len())
        })
    }
}

/// One pass over an encoder's text, which `record` records.
fn watch(
    gpu: &Gpu,
    memory: &Memory,
    d: &Decoder,
    data: &StepData,
    part: AttentionPart,
    record: impl FnOnce(&mut Graph) -> Result<()>,
) -> Result<Vec<AttentionMap>> {
    let n_tokens = data.ids.len();
    let mut g = Graph::new(gpu.caps());
    g.watch(n_tokens);
    record(&mut g)?;
    let tensors = g.weights().to_vec();
    let program = g.build(gpu, &mut Scratch::default())?;
    memory.write(gpu, data);
    let sizes: Sizes = data.sizes(n_tokens);
    gpu.run(&program.plan, &sizes)?;
    let mut maps = Vec::new();
    for (layer, tensor) in tensors.iter().enumerate() {
        let mut weights = Weights::default();
        weights.extend(&program.read(gpu, *tensor)?, tensor, n_tokens);
        maps.push(weights.map(part, layer, d.n_heads, n_tokens));
    }
    Ok(maps)
}

/// Rows as the kernel leaves them: (n_tokens, n_heads * pitch).
#[derive(Default)]
struct Weights {
    values: Vec<f32>,
    n_columns: usize,
}

impl Weights {
    fn extend(&mut self, values: &[f64], tensor: &Tensor, n_tokens: usize) {
        debug_assert_eq!(tensor.dtype, Dtype::F32);
        self.n_columns = tensor.n_columns;
        self.values.extend(values[..n_tokens * tensor.n_columns].iter().map(|&v| v as f32));
    }

    /// By heads, without what lies past `n_positions`.
    fn map(&self, part: AttentionPart, layer: usize, n_heads: usize, n_positions: usize) -> AttentionMap {
        let pitch = self.n_columns / n_heads;
        let n_tokens = self.values.len() / self.n_columns.max(1);
        let mut weights = Vec::with_capacity(n_heads * n_tokens * n_positions);
        for head in 0..n_heads {
            for t in 0..n_tokens {
                weights.extend(&self.values[t * self.n_columns + head * pitch..][..n_positions]);
            }
        }
        AttentionMap { part, layer, n_heads, n_tokens, n_positions, weights }
    }
}

impl AttentionMap {
    /// Fails where the weights over a text of so many tokens would fill the memory.
    pub fn check_size(d: &Decoder, n_tokens: usize) -> Result<()> {
        check_bytes(d, n_tokens, n_tokens)
    }
}

fn check_bytes(d: &Decoder, n_tokens: usize, n_positions: usize) -> Result<()> {
    let bytes = 4 * (d.n_layers * d.n_heads * n_tokens) as u64 * n_positions.next_multiple_of(PAGE) as u64;
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let fits = (BYTES_MAX as f64 / (4 * d.n_layers * d.n_heads) as f64).sqrt() as usize;
    Err(Error::Input(format!(
        "the text has {n_tokens} tokens, whose weights in {} layers of {} heads take {}; \
         shorten it to about {fits} tokens",
        d.n_layers,
        d.n_heads,
        crate::error::Bytes(bytes)
    )))
}
