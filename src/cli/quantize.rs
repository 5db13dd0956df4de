//! `aquatint quantize`: a GGUF file in fewer bits.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::common::{self, WeightFormat};
use crate::error::{Bytes, Error, Result};
use crate::model;
use crate::tensor::Format;
use crate::weights::{Container, TensorInfo, Value, Weights, gguf};

/// Writes a GGUF file with its matrices in another format. Vectors stay as they are; the embedding, the
/// output head and rows that are no whole number of blocks get 8 bits.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint quantize smollm2-135m smollm2-q8.gguf --format q8_0
  aquatint quantize model-f16.gguf model-q4_k.gguf --format q4_k

JSON: {file, format, bytes_before, bytes_after, tensors: {FORMAT: count}}")]
pub struct Quantize {
    /// A model by name, or a GGUF file.
    input: String,
    /// The file to write.
    output: PathBuf,
    #[arg(long, value_enum)]
    format: WeightFormat,
    /// Replaces a file that is there.
    #[arg(long)]
    force: bool,
    #[arg(long)]
    json: bool,
}

impl Quantize {
    pub fn run(&self) -> Result<ExitCode> {
        let path = common::resolve(&self.input)?;
        let weights = Weights::open(&path)?;
        if weights.container() != Container::Gguf {
            return Err(Error::Input(format!(
                "{}: expected a GGUF file; other files are quantised as they are loaded: aquatint run {} --quantize {}",
                path.display(),
                self.input,
                self.format.name(),
            )));
        }
        if self.output.exists() && !self.force {
            return Err(Error::Input(format!(
                "{} is there already; give another name or --force",
                self.output.display()
            )));
        }
        if same_file(&path, &self.output) {
            return Err(Error::Input(format!("{} cannot be written over itself", path.display())));
        }
        let wanted = self.format.format();
        let mut metadata = weights.metadata().clone();
        // llama.cpp's numbers of file types.
        let file_type = match self.format {
            WeightFormat::Q4_0 => 2,
            WeightFormat::Q8_0 => 7,
            WeightFormat::Q4K => 14,
        };
        metadata.replace("general.file_type", Value::U32(file_type));
        metadata.replace("general.quantization_version", Value::U32(2));
        let infos: Vec<&TensorInfo> = weights.tensors().collect();
        let targets: Vec<&'static Format> = infos.iter().map(|info| target(info, wanted)).collect();
        let tensors: Vec<gguf::NewTensor> = infos
            .iter()
            .zip(&targets)
            .map(|(info, &format)| gguf::NewTensor {
                name: info.name.clone(),
                shape: info.shape.clone(),
                format,
            })
            .collect();
        // Under another name until it is whole.
        let partial = self.output.with_extension(format!("part{}", std::process::id()));
        let bar = common::bytes_bar(weights.total_bytes());
        let written = gguf::write(&partial, &metadata, &tensors, |i| {
            let info = infos[i];
            let bytes = weights.bytes(info);
            bar.inc(bytes.len() as u64);
            match info.format == targets[i] {
                true => Ok(Cow::Borrowed(bytes)),
                false => {
                    model::requantise(bytes, info.shape.n_columns(), info.format, targets[i]).map(Cow::Owned)
                }
            }
        });
        bar.finish_and_clear();
        let moved = written.and_then(|()| {
            std::fs::rename(&partial, &self.output).map_err(|error| Error::io(&self.output, error))
        });
        if moved.is_err() {
            // Nothing half-written stays; if it is not there, there is nothing to remove.
            let _ = std::fs::remove_file(&partial);
        }
        moved?;
        self.report(&path, &weights, &targets)
    }

    fn report(&self, path: &Path, weights: &Weights, targets: &[&'static Format]) -> Result<ExitCode> {
        let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io(path, e));
        let (before, after) = (size(path)?, size(&self.output)?);
        let mut counts = serde_json::Map::new();
        for format in targets {
            let count = counts.entry(format.name).or_insert(json!(0));
            *count = json!(count.as_u64().unwrap_or(0) + 1);
        }
        for ignored in weights.ignored() {
            eprintln!("note: {} holds no weights and was left out", ignored.name);
        }
        if self.json {
            common::print_json(&json!({
                "file": self.output,
                "format": self.format.name(),
                "bytes_before": before,
                "bytes_after": after,
                "tensors": counts,
            }))?;
        } else {
            let counts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
            common::print_line(&format!(
                "{}: {} (before: {}); {}",
                self.output.display(),
                Bytes(after),
                Bytes(before),
                counts.join(", ")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn target(info: &TensorInfo, wanted: &'static Format) -> &'static Format {
    match info.shape.dims().len() {
        0 | 1 => info.format,
        _ => model::quantise_target(&info.name, info.shape.n_columns(), wanted).unwrap_or(info.format),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
