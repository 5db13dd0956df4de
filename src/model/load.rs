//! Loading: from a mapped file to weights in GPU buffers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arch;
use super::config::Config;
use super::decoder::{Decoder, FeedForward};
use super::names::hub_name;
use super::vocab;
use crate::error::{Bytes, Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::graph::PackedWeight;
use crate::tensor::Shape;
use crate::text::Tokenizer;
use crate::weights::{TensorInfo, Weights};

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Loads without a tokenizer where the file has none.
    pub tokenizer_optional: bool,
}

/// What has been loaded so far.
#[derive(Debug, Clone, Copy)]
pub struct LoadProgress {
    /// Bytes of the file.
    pub done: u64,
    pub total: u64,
}

/// A model whose weights are in GPU buffers. They are freed when it is dropped.
pub struct Model {
    pub gpu: Gpu,
    /// The architecture's name for people.
    pub title: &'static str,
    pub path: PathBuf,
    pub decoder: Decoder,
    pub tensors: Tensors,
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
}

/// The weights of a decoder.
pub struct Tensors {
    /// (n_vocab, n_embd)
    pub embedding: PackedWeight,
    /// (n_vocab, n_embd), the embedding where they are tied.
    pub head: PackedWeight,
    /// (n_embd)
    pub output_norm: Buffer,
    pub layers: Vec<Layer>,
}

/// The weights of one layer.
pub struct Layer {
    /// (n_embd)
    pub attention_norm: Buffer,
    /// Parts of (n_heads * head_dim + 2 * n_kv_heads * head_dim, n_embd), one per run of rows of the
    /// same format, and the first row of each.
    pub qkv: Vec<(PackedWeight, usize)>,
    /// (head_dim) each
    pub qk_norm: Option<(Buffer, Buffer)>,
    /// (n_embd, n_heads * head_dim)
    pub attention_output: PackedWeight,
    /// (n_embd)
    pub post_attention_norm: Option<Buffer>,
    pub ffn_norm: Buffer,
    /// (2 * n_ff, n_embd), gate and up rows in turn; or the two apart where their formats differ.
    pub gate_up: GateUp,
    /// (n_embd, n_ff)
    pub down: PackedWeight,
    pub post_ffn_norm: Option<Buffer>,
}

pub enum GateUp {
    Interleaved(PackedWeight),
    Apart { gate: PackedWeight, up: PackedWeight },
    Plain(PackedWeight),
}

impl Model {
    /// Loads the model in a GGUF file, a llama2.c file, or a folder with `config.json` and safetensors.
    ///
    /// Fails with a message that names the tensor or the setting which is missing or does not fit.
    pub fn load(
        gpu: &Gpu,
        path: impl AsRef<Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Model> {
        let weights = Weights::open(path.as_ref())?;
        let config = Config::of(&weights);
        let architecture = arch::of(&config)?;
        let mut decoder = (architecture.describe)(&config)?;
        let tokenizer = match vocab::tokenizer(&weights) {
            Ok(tokenizer) => Some(Arc::new(tokenizer)),
            Err(_) if options.tokenizer_optional => None,
            Err(error) => return Err(error),
        };
        let mut loader =
            Loader { gpu, weights: &weights, post_norms: decoder.post_norms, done: 0, sent: 0, progress };
        let tensors = loader.tensors(&mut decoder)?;
        let weight_bytes = loader.sent;
        gpu.wait()?;
        Ok(Model {
            gpu: gpu.clone(),
            title: architecture.title,
            path: path.as_ref().to_owned(),
            decoder,
            tensors,
            tokenizer,
            weight_bytes,
        })
    }

    /// The tokenizer, or an error that says the model has none.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Error::Text(format!("{} has no tokenizer; give token ids instead of text", self.path.display()))
        })
    }
}

/// Reads the description of a model from its header alone.
pub fn describe(weights: &Weights) -> Result<(&'static str, Decoder)> {
    let config = Config::of(weights);
    let architecture = arch::of(&config)?;
    let mut decoder = (architecture.describe)(&config)?;
    if let Some(embedding) = find(weights, "token_embd.weight", decoder.post_norms) {
        decoder.n_vocab = embedding.shape.n_rows();
    }
    Ok((architecture.title, decoder))
}

struct Loader<'a> {
    gpu: &'a Gpu,
    weights: &'a Weights,
    post_norms: bool,
    done: u64,
    sent: u64,
    progress: &'a mut dyn FnMut(LoadProgress),
}

fn find<'a>(weights: &'a Weights, name: &str, post_norms: bool) -> Option<&'a TensorInfo> {
    weights.find(name).or_else(|| {
        let hub = hub_name(name, post_norms)?;
        // Some families put the decoder below a further prefix.
        weights.find(&hub).or_else(|| weights.find(&format!("language_model.{hub}")))
    })
}

impl<'a> Loader<'a> {
    fn find(&self, name: &str) -> Option<&'a TensorInfo> {
        find(self.weights, name, self.post_norms)
    }

    fn required(&self, name: &str) -> Result<&'a TensorInfo> {
        self.find(name).ok_or_else(|| {
            let hub = hub_name(name, self.post_norms).map(|hub| format!(" nor {hub}")).unwrap_or_default();
            Error::tensor(name, format!("the file has neither it{hub}, which this architecture needs"))
        })
    }

    fn tensors(&mut self, d: &mut Decoder) -> Result<Tensors> {
        let embedding = self.required("token_embd.weight")?;
        d.n_vocab = embedding.shape.n_rows();
        let embedding = self.matrix("token_embd.weight", d.n_vocab, d.n_embd)?;
        let head = match self.find("output.weight") {
            Some(_) if !(d.tied) => self.matrix("output.weight", d.n_vocab, d.n_embd)?,
            _ => embedding.clone(),
        };
        d.tied = self.find("output.weight").is_none() || d.tied;
        let output_norm = self.gain("output_norm.weight", d.n_embd, d.gain_offset)?;
        let layers = (0..d.n_layers).map(|i| self.layer(d, i)).collect::<Result<_>>()?;
        Ok(Tensors { embedding, head, output_norm, layers })
    }

    fn layer(&mut self, d: &Decoder, i: usize) -> Result<Layer> {
        let name = |tensor: &str| format!("blk.{i}.{tensor}.weight");
        let (n_q, n_kv) = (d.n_heads * d.head_dim, d.n_kv_heads * d.head_dim);
        let qkv = self.joined(&[
            (name("attn_q"), n_q, d.n_embd),
            (name("attn_k"), n_kv, d.n_embd),
            (name("attn_v"), n_kv, d.n_embd),
        ])?;
        let qk_norm = match d.qk_norm {
            true => Some((
                self.gain(&name("attn_q_norm"), d.head_dim, d.gain_offset)?,
                self.gain(&name("attn_k_norm"), d.head_dim, d.gain_offset)?,
            )),
            false => None,
        };
        let post = |this: &mut Self, tensor: &str| match d.post_norms {
            true => this.gain(&name(tensor), d.n_embd, d.gain_offset).map(Some),
            false => Ok(None),
        };
        Ok(Layer {
            attention_norm: self.gain(&name("attn_norm"), d.n_embd, d.gain_offset)?,
            qkv,
            qk_norm,
            attention_output: self.matrix(&name("attn_output"), d.n_embd, n_q)?,
            post_attention_norm: post(self, "post_attention_norm")?,
            ffn_norm: self.gain(&name("ffn_norm"), d.n_embd, d.gain_offset)?,
            gate_up: self.gate_up(d, i)?,
            down: self.matrix(&name("ffn_down"), d.n_embd, d.n_ff)?,
            post_ffn_norm: post(self, "post_ffw_norm")?,
        })
    }

    fn gate_up(&mut self, d: &Decoder, i: usize) -> Result<GateUp> {
        let (gate_name, up_name) = (format!("blk.{i}.ffn_gate.weight"), format!("blk.{i}.ffn_up.weight"));
        if let FeedForward::Plain(_) = d.feed_forward {
            return Ok(GateUp::Plain(self.matrix(&up_name, d.n_ff, d.n_embd)?));
        }
        let gate = self.shaped(&gate_name, d.n_ff, d.n_embd)?;
        let up = self.shaped(&up_name, d.n_ff, d.n_embd)?;
        if gate.format != up.format || d.n_ff % 2 != 0 {
            return Ok(GateUp::Apart {
                gate: self.matrix(&gate_name, d.n_ff, d.n_embd)?,
                up: self.matrix(&up_name, d.n_ff, d.n_embd)?,
            });
        }
        let weights = self.weights;
        let row = |i: usize| weights.row(if i % 2 == 0 { gate } else { up }, i / 2);
        let packed = PackedWeight::upload(
            self.gpu,
            &format!("blk.{i}.gate_up"),
            gate.format,
            2 * d.n_ff,
            d.n_embd,
            &row,
        )?;
        self.count(gate);
        self.count(up);
        Ok(GateUp::Interleaved(packed))
    }

    /// Weights with the same input, joined by rows where they have the same format.
    fn joined(&mut self, parts: &[(String, usize, usize)]) -> Result<Vec<(PackedWeight, usize)>> {
        let infos: Vec<_> =
            parts.iter().map(|(name, n, k)| self.shaped(name, *n, *k)).collect::<Result<Vec<_>>>()?;
        let mut joined = Vec::new();
        let (mut start, mut first) = (0, 0);
        while start < infos.len() {
            let same = |info: &&&TensorInfo| info.format == infos[start].format;
            let run: Vec<&TensorInfo> = infos[start..].iter().take_while(same).copied().collect();
            let n_rows: usize = run.iter().map(|info| info.shape.n_rows()).sum();
            let weights = self.weights;
            let row = |mut i: usize| -> &[u8] {
                for info in &run {
                    if i < info.shape.n_rows() {
                        return weights.row(info, i);
                    }
                    i -= info.shape.n_rows();
                }
                &[]
            };
            let (name, n_columns) = (&parts[start].0, parts[start].2);
            let packed = PackedWeight::upload(self.gpu, name, run[0].format, n_rows, n_columns, &row)?;
            for info in &run {
                self.count(info);
            }
            joined.push((packed, first));
            first += n_rows;
            start += run.len();
        }
        Ok(joined)
    }

    /// A tensor of the file, checked for its shape.
    fn shaped(&self, name: &str, n_rows: usize, n_columns: usize) -> Result<&'a TensorInfo> {
        let info = self.required(name)?;
        if (info.shape.n_rows(), info.shape.n_columns()) != (n_rows, n_columns) {
            let expected = Shape::new([n_rows, n_columns]);
            return Err(Error::tensor(&info.name, format!("expected {expected}, file has {}", info.shape)));
        }
        Ok(info)
    }

    fn matrix(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<PackedWeight> {
        let info = self.shaped(name, n_rows, n_columns)?;
        let weights = self.weights;
        let row = |i: usize| weights.row(info, i);
        let packed = PackedWeight::upload(self.gpu, name, info.format, n_rows, n_columns, &row)?;
        self.count(info);
        Ok(packed)
    }

    /// A vector as f32, with `offset` added.
    fn gain(&mut self, name: &str, len: usize, offset: f32) -> Result<Buffer> {
        let info = self.shaped(name, 1, len)?;
        let mut values = vec![0.0f32; len];
        info.format.dequantise_row(self.weights.bytes(info), &mut values);
        for value in &mut values {
            *value += offset;
        }
        self.count(info);
        self.gpu.buffer_with(name, bytemuck::cast_slice(&values))
    }

    fn count(&mut self, info: &TensorInfo) {
        let len = info.bytes.len() as u64;
        self.done += len;
        self.sent += len;
        (self.progress)(LoadProgress { done: self.done, total: self.weights.total_bytes() });
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} of weights)", self.path.display(), self.title, Bytes(self.weight_bytes))
    }
}
