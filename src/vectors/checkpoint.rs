//! A training that was stopped, on disk: both sets of vectors, the vocabulary, the options and where
//! in the text it was. A safetensors file, so that other programs can read it too.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::corpus::Corpus;
use super::train::{Position, TrainOptions, Trainer};
use super::write::write_whole;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::tiles::Objective;

/// The names of the options in the file's metadata, and how they are written and read.
type Field = (&'static str, fn(&TrainOptions) -> String, fn(&mut TrainOptions, &str) -> Option<()>);

const FIELDS: &[Field] = &[
    (
        "objective",
        |o| if o.objective == Objective::Cbow { "cbow".into() } else { "skip-gram".into() },
        |o, text| {
            o.objective = match text {
                "cbow" => Objective::Cbow,
                "skip-gram" => Objective::SkipGram,
                _ => return None,
            };
            Some(())
        },
    ),
    ("dimensions", |o| o.dimensions.to_string(), |o, text| text.parse().ok().map(|v| o.dimensions = v)),
    ("window", |o| o.window.to_string(), |o, text| text.parse().ok().map(|v| o.window = v)),
    ("negative", |o| o.negative.to_string(), |o, text| text.parse().ok().map(|v| o.negative = v)),
    ("sample", |o| o.sample.to_string(), |o, text| text.parse().ok().map(|v| o.sample = v)),
    ("epochs", |o| o.epochs.to_string(), |o, text| text.parse().ok().map(|v| o.epochs = v)),
    ("rate", |o| o.rate.to_string(), |o, text| text.parse().ok().map(|v| o.rate = v)),
    ("rate_min", |o| o.rate_min.to_string(), |o, text| text.parse().ok().map(|v| o.rate_min = v)),
    ("seed", |o| o.seed.to_string(), |o, text| text.parse().ok().map(|v| o.seed = v)),
    ("batch", |o| o.batch.to_string(), |o, text| text.parse().ok().map(|v| o.batch = v)),
];

/// What a stopped training needs to go on.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub options: TrainOptions,
    pub position: Position,
    fingerprint: u64,
    n_words: usize,
    /// (n_words, dimensions)
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

impl Checkpoint {
    /// Reads the file of [`Trainer::save`].
    ///
    /// Fails if it is not such a file.
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let fail = |message: String| Error::file(path.display(), message);
        let parsed = SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| fail(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |name: &str| {
            metadata.get(name).ok_or_else(|| fail(format!("has no {name}; expected a stopped training")))
        };
        let mut options = TrainOptions::default();
        for (name, _, set) in FIELDS {
            let value = text(name)?;
            set(&mut options, value).ok_or_else(|| fail(format!("its {name} is {value:?}")))?;
        }
        options.check()?;
        let number = |name: &str| -> Result<u64> {
            let value = text(name)?;
            value.parse().map_err(|_| fail(format!("its {name} is {value:?}")))
        };
        let tensor = |name: &str| -> Result<(usize, Vec<f32>)> {
            let tensor = parsed.tensor(name).map_err(|error| fail(error.to_string()))?;
            match (tensor.shape(), tensor.dtype()) {
                ([n, d], Dtype::F32) if *d == options.dimensions => {
                    Ok((*n, bytemuck::pod_collect_to_vec(tensor.data())))
                }
                (shape, dtype) => Err(fail(format!(
                    "{name} has shape {shape:?} and type {dtype:?}, expected {} columns of F32",
                    options.dimensions
                ))),
            }
        };
        let ((n_words, inputs), (n_outputs, outputs)) = (tensor("inputs")?, tensor("outputs")?);
        if n_words != n_outputs {
            return Err(fail(format!("has {n_words} inputs and {n_outputs} outputs")));
        }
        let position = Position { epoch: number("epoch")? as usize, piece: number("piece")? as usize };
        let fingerprint = number("text")?;
        Ok(Checkpoint { options, position, fingerprint, n_words, inputs, outputs })
    }

    /// Goes on. Fails unless `corpus` is the text that the training began with.
    pub fn resume(self, gpu: &Gpu, corpus: Corpus) -> Result<Trainer> {
        if self.n_words != corpus.words.len() || self.fingerprint != corpus.fingerprint() {
            return Err(Error::Input(format!(
                "the text is not the one that the training began with ({} words in its vocabulary, now {}); give the \
                 same files in the same order, with the same --min-count, --split and --paragraphs",
                self.n_words,
                corpus.words.len()
            )));
        }
        Trainer::resume(gpu, corpus, self.options, &self.inputs, &self.outputs, self.position)
    }
}

impl Trainer {
    /// Writes what [`Checkpoint::resume`] needs. The file appears whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (options, position) = (self.options(), self.position());
        let mut metadata: HashMap<String, String> =
            FIELDS.iter().map(|(name, get, _)| ((*name).to_owned(), get(options))).collect();
        metadata.insert("epoch".into(), position.epoch.to_string());
        metadata.insert("piece".into(), position.piece.to_string());
        metadata.insert("text".into(), self.corpus().fingerprint().to_string());
        let (inputs, outputs) = (self.vectors()?.values, self.outputs()?);
        let shape = vec![self.corpus().words.len(), options.dimensions];
        let view = |values| {
            TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values))
                .map_err(|error| Error::Gpu(format!("the vectors cannot be saved: {error}")))
        };
        let tensors = [("inputs", view(&inputs)?), ("outputs", view(&outputs)?)];
        let bytes = serialize(tensors, Some(metadata))
            .map_err(|error| Error::Gpu(format!("the vectors cannot be saved: {error}")))?;
        write_whole(path, |out| out.write_all(&bytes))
    }
}
