//! Encoders: hidden states of whole texts, and what a model's head makes of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::EngineOptions;
use super::memory::{Memory, StepData};
use crate::error::{Error, Result};
use crate::graph::{Dtype, Graph, Program, Scratch};
use crate::kernels::PAGE;
use crate::model::{Head, Model, OutputHead, Pass, record};

/// Texts in one pass at most.
const TEXTS_MAX: usize = 16;

/// Bytes of logits in one pass at most.
const LOGIT_BYTES_MAX: usize = 64 << 20;

/// A text to encode.
#[derive(Debug, Clone, Default)]
pub struct EncoderInput {
    pub ids: Vec<u32>,
    /// Which of two texts each token belongs to; empty for all the first.
    pub token_types: Vec<u32>,
    /// The tokens whose logits are wanted, by place.
    pub wanted: Vec<usize>,
}

/// What came out for a text.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// (n_tokens, n_embd)
    pub hidden: Vec<Vec<f32>>,
    /// (n_tokens, n_embd): the same before the model's last norm; empty where it has none.
    pub before_norm: Vec<Vec<f32>>,
    /// (wanted, n_classes or n_vocab); empty without a head.
    pub logits: Vec<Vec<f32>>,
}

/// How a text's hidden states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    Mean,
    /// The first token's.
    First,
    /// The last token's.
    Last,
}

/// Runs an encoder. Several texts share a pass, packed without padding.
pub struct Encoder {
    pub(super) model: Arc<Model>,
    pub(super) memory: Memory,
    programs: HashMap<usize, (Program, Pass)>,
    scratch: Scratch,
    pub(super) activations: Dtype,
    /// Tokens in one pass at most, and so the longest text.
    n_tokens_max: usize,
    n_outputs_max: usize,
}

impl Encoder {
    /// Allocates what a pass needs. `exact` stores activations as f32 instead of f16.
    ///
    /// Fails if the model is no encoder, or if the device does not have the memory.
    pub fn new(model: Arc<Model>, exact: bool) -> Result<Encoder> {
        let d = &model.decoder;
        if !d.bidirectional {
            return Err(Error::Unsupported(format!(
                "{} goes on with texts and does not encode them; take an encoder such as all-minilm-l6-v2",
                model.title
            )));
        }
        let n_tokens_max = d.n_context.clamp(1, 8192).max(512);
        let kv = if exact { Dtype::F32 } else { Dtype::F16 };
        let options = EngineOptions {
            context: d.n_context.clamp(1, 8192),
            n_slots: TEXTS_MAX,
            kv,
            activations: kv,
            chunk: n_tokens_max,
            ..EngineOptions::default()
        };
        let n_pages = TEXTS_MAX * options.context.div_ceil(PAGE);
        let memory = Memory::new(&model.gpu, d, &options, n_tokens_max, n_pages)?;
        let pages: Vec<u32> = (0..(TEXTS_MAX * memory.max_pages) as u32).collect();
        model.gpu.write(&memory.pages, 0, bytemuck::cast_slice(&pages));
        let n_classes = classes(&model).max(1);
        let n_outputs_max = (LOGIT_BYTES_MAX / (4 * n_classes)).clamp(1, n_tokens_max);
        Ok(Encoder {
            memory,
            programs: HashMap::new(),
            scratch: Scratch::default(),
            activations: kv,
            n_tokens_max,
            n_outputs_max,
            model,
        })
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Tokens of the longest text.
    pub fn context(&self) -> usize {
        self.model.decoder.n_context
    }

    /// The hidden states and logits of each text.
    ///
    /// Fails if a text is empty or longer than the model's context; nothing is cut off in silence.
    pub fn encode(&mut self, texts: &[EncoderInput]) -> Result<Vec<Encoded>> {
        for (i, text) in texts.iter().enumerate() {
            self.check(i, text)?;
        }
        let mut all = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let (mut n_tokens, mut n_outputs, mut n) = (0, 0, 0);
            for text in rest.iter().take(TEXTS_MAX) {
                n_tokens += text.ids.len();
                n_outputs += text.wanted.len();
                if n > 0 && (n_tokens > self.n_tokens_max || n_outputs > self.n_outputs_max) {
                    break;
                }
                n += 1;
            }
            all.extend(self.pass(&rest[..n])?);
            rest = &rest[n..];
        }
        Ok(all)
    }

    pub(super) fn check(&self, i: usize, text: &EncoderInput) -> Result<()> {
        let n_vocab = self.model.decoder.n_vocab;
        if text.ids.is_empty() {
            return Err(Error::Input(format!("text {i} has no tokens")));
        }
        if text.ids.len() > self.context() {
            return Err(Error::Input(format!(
                "text {i} has {} tokens, the model reads {}; shorten it, or ask for truncation",
                text.ids.len(),
                self.context()
            )));
        }
        if text.wanted.len() > self.n_outputs_max {
            return Err(Error::Input(format!(
                "text {i} asks for the logits of {} tokens, one pass gives {}",
                text.wanted.len(),
                self.n_outputs_max
            )));
        }
        match text.ids.iter().find(|&&id| id as usize >= n_vocab) {
            Some(id) => {
                Err(Error::Input(format!("text {i}: token {id} is not in the vocabulary of {n_vocab}")))
            }
            None => Ok(()),
        }
    }

    fn pass(&mut self, texts: &[EncoderInput]) -> Result<Vec<Encoded>> {
        let mut data = StepData::default();
        for (slot, text) in texts.iter().enumerate() {
            let first = data.ids.len() as u32;
            for (position, &id) in text.ids.iter().enumerate() {
                data.ids.push(id);
                data.positions.push(position as u32);
                data.slots.push(slot as u32);
                data.limits.push(text.ids.len() as u32 - 1);
                data.token_types.push(text.token_types.get(position).copied().unwrap_or(0));
            }
            for &place in &text.wanted {
                data.outputs.push(first + place as u32);
                data.output_slots.push(slot as u32);
                data.output_positions.push(place as u32);
            }
        }
        let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
        let sizes = data.sizes(longest);
        let bucket = [16, 64, 256].into_iter().find(|&n| data.ids.len() <= n).unwrap_or(self.n_tokens_max);
        if !self.programs.contains_key(&bucket) {
            let mut g = Graph::on(&self.model.gpu);
            let n_outputs = self.n_outputs_max.min(bucket);
            let step = self.memory.step(&mut g, &self.model.decoder, bucket, n_outputs);
            let pass = record(&mut g, &self.model, &step, Head::Encode, self.activations)?;
            let program = g.build(&self.model.gpu, &mut self.scratch)?;
            self.programs.insert(bucket, (program, pass));
        }
        let (program, pass) = &self.programs[&bucket];
        let gpu = &self.model.gpu;
        self.memory.write(gpu, &data);
        gpu.run(&program.plan, &sizes)?;
        let read = |tensor: Option<crate::graph::Tensor>, n_rows: usize| -> Result<Vec<Vec<f32>>> {
            let Some(tensor) = tensor.filter(|_| n_rows > 0) else { return Ok(Vec::new()) };
            let values = program.read(gpu, tensor)?;
            let rows = values.chunks(tensor.pitch()).take(n_rows);
            Ok(rows.map(|row| row[..tensor.n_columns].iter().map(|&v| v as f32).collect()).collect())
        };
        let mut hidden = read(pass.hidden, data.ids.len())?.into_iter();
        let mut before_norm = read(pass.before_norm, data.ids.len())?.into_iter();
        let mut logits = read(pass.logits, data.outputs.len())?.into_iter();
        Ok(texts
            .iter()
            .map(|text| Encoded {
                hidden: hidden.by_ref().take(text.ids.len()).collect(),
                before_norm: before_norm.by_ref().take(text.ids.len()).collect(),
                logits: logits.by_ref().take(text.wanted.len()).collect(),
            })
            .collect())
    }
}

/// The width of a model's logits.
fn classes(model: &Model) -> usize {
    match &model.tensors.head {
        OutputHead::None => 0,
        OutputHead::Next(out)
        | OutputHead::Each(out)
        | OutputHead::Span(out)
        | OutputHead::First { out, .. }
        | OutputHead::Masked { out, .. } => out.weight.n_rows,
    }
}

impl Encoded {
    /// One vector for the text, of length 1 where `normalise`.
    pub fn pool(&self, pooling: Pooling, normalise: bool) -> Vec<f32> {
        let mut vector: Vec<f64> = match pooling {
            Pooling::Mean => {
                let n = self.hidden.len().max(1) as f64;
                let width = self.hidden.first().map_or(0, Vec::len);
                (0..width).map(|c| self.hidden.iter().map(|row| f64::from(row[c])).sum::<f64>() / n).collect()
            }
            Pooling::First => widen(self.hidden.first()),
            Pooling::Last => widen(self.hidden.last()),
        };
        if normalise {
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|v| *v /= length);
        }
        vector.into_iter().map(|v| v as f32).collect()
    }
}

fn widen(row: Option<&Vec<f32>>) -> Vec<f64> {
    row.map(|row| row.iter().map(|&v| f64::from(v)).collect()).unwrap_or_default()
}

/// The cosine of the angle between two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt()).max(1e-30)
}
