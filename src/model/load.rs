//! Loading: from a mapped file to weights in GPU buffers.
//!
//! Weights are packed here on all cores while a thread of its own uploads those before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::arch;
use super::config::Config;
use super::decoder::Decoder;
use super::loader::{Destination, Loader};
use super::source::Finder;
use super::tensors::Tensors;
use super::vocab;
use crate::error::{Bytes, Error, Result};
use crate::gpu::{Gpu, Uploader};
use crate::graph::PackedWeight;
use crate::tensor::Format;
use crate::text::Tokenizer;
use crate::weights::Weights;

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Loads without a tokenizer where the file has none.
    pub tokenizer_optional: bool,
    /// Stores matrices in this format; see [`super::quantise_target`].
    pub quantise: Option<&'static Format>,
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
    /// What reads the text that the decoder's layers attend to, in encoder-decoder models.
    pub encoder: Option<(Decoder, Tensors)>,
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    pub times: LoadTimes,
}

/// Seconds that the parts of loading took.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadTimes {
    pub tokenizer: f64,
    /// All weights, from the mapped file to the device.
    pub weights: f64,
    /// Of it: reading and packing, on all cores.
    pub pack: f64,
    /// Of it, at the same time: handing over to the driver, on a thread of its own.
    pub upload: f64,
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
        Model::from_weights(gpu, &Weights::open(path.as_ref())?, options, progress)
    }

    /// As [`Model::load`], from files that are open, or from weights that are made up.
    pub fn from_weights(
        gpu: &Gpu,
        weights: &Weights,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Model> {
        let config = Config::of(weights);
        let architecture = arch::of(&config)?;
        let mut decoder = (architecture.describe)(&config)?;
        let start = Instant::now();
        let tokenizer = match vocab::tokenizer(weights) {
            Ok(tokenizer) => Some(Arc::new(tokenizer)),
            Err(_) if options.tokenizer_optional => None,
            Err(error) => return Err(error),
        };
        let tokenizer_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let to = Destination::Device(Uploader::new(gpu)?);
        let mut loader = Loader::new(gpu, weights, architecture, &config, options, to, progress);
        if architecture.encoder.is_some() {
            loader.finder.prefix = "dec.";
        }
        let tensors = loader.tensors(&mut decoder, None)?;
        let encoder = match architecture.encoder {
            Some(describe) => {
                let mut encoder = describe(&config)?;
                loader.finder.prefix = "enc.";
                let tensors = loader.tensors(&mut encoder, Some(&tensors.embedding))?;
                Some((encoder, tensors))
            }
            None => None,
        };
        let weight_bytes = loader.n_bytes;
        let mut times =
            LoadTimes { tokenizer: tokenizer_seconds, pack: loader.pack_seconds, ..LoadTimes::default() };
        if let Destination::Device(uploader) = loader.to {
            times.upload = uploader.finish()?;
        }
        gpu.wait()?;
        times.weights = start.elapsed().as_secs_f64();
        Ok(Model {
            times,
            gpu: crate::kernels::probed(gpu)?,
            title: architecture.title,
            path: weights.path().to_owned(),
            decoder,
            tensors,
            encoder,
            tokenizer,
            weight_bytes,
        })
    }

    /// The model without its weights, to record passes with and compile their kernels, but not to run them.
    /// `None` for kinds of models whose passes need more.
    pub fn outline(gpu: &Gpu, weights: &Weights, options: &LoadOptions) -> Result<Option<Model>> {
        let config = Config::of(weights);
        let architecture = arch::of(&config)?;
        let mut decoder = (architecture.describe)(&config)?;
        // Transposed files would be turned twice.
        if architecture.encoder.is_some()
            || decoder.bidirectional
            || architecture.transposed && config.is_hub()
        {
            return Ok(None);
        }
        let nothing = Destination::Nowhere;
        let mut silent = |_| {};
        let mut loader = Loader::new(gpu, weights, architecture, &config, options, nothing, &mut silent);
        let tensors = loader.tensors(&mut decoder, None)?;
        Ok(Some(Model {
            gpu: gpu.clone(),
            title: architecture.title,
            path: weights.path().to_owned(),
            decoder,
            tensors,
            encoder: None,
            tokenizer: None,
            weight_bytes: 0,
            times: LoadTimes::default(),
        }))
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
    let finder = Finder { weights, names: architecture.hub_names, prefix: "" };
    if let Some(embedding) = finder.find("token_embd.weight") {
        decoder.n_vocab = embedding.shape.n_rows();
    }
    Ok((architecture.title, decoder))
}

/// Loads the input embedding alone, as it is stored. Shape: (n_vocab, width).
pub fn load_embedding(gpu: &Gpu, weights: &Weights) -> Result<PackedWeight> {
    let config = Config::of(weights);
    let architecture = arch::of(&config)?;
    let decoder = (architecture.describe)(&config)?;
    let prefix = if architecture.encoder.is_some() { "dec." } else { "" };
    let finder = Finder { weights, names: architecture.hub_names, prefix };
    let n_vocab = finder.required("token_embd.weight")?.shape.n_rows();
    let part = finder.part("token_embd.weight", false)?.expect(n_vocab, decoder.embedding_width)?;
    let row = |i: usize| part.row(i);
    PackedWeight::upload(gpu, "token_embd", part.format, n_vocab, part.n_columns, &row)
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} of weights)", self.path.display(), self.title, Bytes(self.weight_bytes))
    }
}
