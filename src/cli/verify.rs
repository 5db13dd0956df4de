//! `aquatint verify`: a model against reference outputs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use safetensors::{Dtype as Stored, SafeTensors};
use serde_json::json;

use super::common::{self, DeviceArgs, Store};
use crate::engine::{Engine, EngineOptions, GenerateOptions};
use crate::error::{Error, Result};
use crate::model::LoadOptions;

/// Errors above this share of the logits' standard deviation fail.
const ERROR_MAX: f64 = 2e-3;

/// Runs the model in a folder on the inputs of its golden.safetensors and compares the outputs. Exit
/// code 1 where the error exceeds 0.002 of the logits' standard deviation or a greedy continuation
/// differs.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint verify tests/data/models/llama_gqa

golden.safetensors: input_ids (batch, n), logits (batch, n, vocab); optional prompt_ids (1, p),
greedy_ids (1, p + m).

JSON: {model, kind, max_error, error_over_std, top1, greedy_equal, ok}")]
pub struct Verify {
    /// A folder with a model and golden.safetensors.
    folder: PathBuf,
    /// How keys and values are stored.
    #[arg(long, value_enum, default_value = "f32")]
    kv: Store,
    /// How the inputs of matrix products are stored (f32 or f16).
    #[arg(long, value_enum, default_value = "f32")]
    activations: Store,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(&self) -> Result<ExitCode> {
        let path = self.folder.join("golden.safetensors");
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        let golden = Golden::read(&bytes, &path)?;
        let gpu = self.device.open()?;
        let (model, _) = common::load(&gpu, &self.folder, &LoadOptions { tokenizer_optional: true })?;
        let title = model.title;
        let context = golden.n.max(golden.greedy.as_ref().map_or(0, |(_, ids)| ids.len())) + 1;
        let options = EngineOptions {
            context,
            kv: self.kv.into(),
            activations: self.activations.into(),
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(model, options)?;
        let outcome = golden.compare(&mut engine)?;
        if self.json {
            common::print_json(&json!({
                "model": self.folder,
                "kind": "decoder",
                "max_error": outcome.max_error,
                "error_over_std": outcome.error_over_std,
                "top1": outcome.top1,
                "greedy_equal": outcome.greedy_equal,
                "ok": outcome.ok(),
            }))?;
        } else {
            common::print_line(&format!(
                "{} ({title}): largest error {:.3e}, {:.3e} of the standard deviation; top-1 agreement {:.4}; greedy continuation {}: {}",
                self.folder.display(),
                outcome.max_error,
                outcome.error_over_std,
                outcome.top1,
                match outcome.greedy_equal {
                    Some(true) => "equal",
                    Some(false) => "DIFFERS",
                    None => "not given",
                },
                if outcome.ok() { "ok" } else { "FAILED" },
            ))?;
        }
        Ok(if outcome.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// How far a model is from its reference.
struct Outcome {
    max_error: f64,
    error_over_std: f64,
    top1: f64,
    greedy_equal: Option<bool>,
}

impl Outcome {
    fn ok(&self) -> bool {
        self.error_over_std <= ERROR_MAX && self.greedy_equal != Some(false)
    }
}

/// Reference inputs and outputs.
struct Golden {
    /// (batch) of (n)
    inputs: Vec<Vec<u32>>,
    n: usize,
    /// (batch, n, vocab)
    logits: Vec<f32>,
    /// A prompt, and the prompt with its continuation.
    greedy: Option<(Vec<u32>, Vec<u32>)>,
}

impl Golden {
    fn read(bytes: &[u8], path: &Path) -> Result<Golden> {
        let fail = |message: String| Error::file(path.display(), message);
        let file = SafeTensors::deserialize(bytes).map_err(|error| fail(error.to_string()))?;
        let ids = |name: &str| -> Result<(Vec<usize>, Vec<u32>)> {
            let view = file.tensor(name).map_err(|error| fail(error.to_string()))?;
            let data = view.data();
            let ids = match view.dtype() {
                Stored::I64 => {
                    data.chunks_exact(8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                }
                Stored::I32 => {
                    data.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                }
                other => return Err(fail(format!("{name}: expected integers, found {other:?}"))),
            };
            Ok((view.shape().to_vec(), ids))
        };
        let (shape, inputs) = ids("input_ids")?;
        let &[_, n] = &shape[..] else {
            return Err(fail(format!("input_ids: expected (batch, n), found {shape:?}")));
        };
        let view = file.tensor("logits").map_err(|error| fail(error.to_string()))?;
        if view.dtype() != Stored::F32 {
            return Err(fail(format!("logits: expected F32, found {:?}", view.dtype())));
        }
        let logits =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let greedy = match file.tensor("greedy_ids") {
            Ok(_) => Some((ids("prompt_ids")?.1, ids("greedy_ids")?.1)),
            Err(_) => None,
        };
        Ok(Golden { inputs: inputs.chunks(n.max(1)).map(<[u32]>::to_vec).collect(), n, logits, greedy })
    }

    fn compare(&self, engine: &mut Engine) -> Result<Outcome> {
        let mean = self.logits.iter().map(|&v| f64::from(v)).sum::<f64>() / self.logits.len() as f64;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        let std = (self.logits.iter().map(square).sum::<f64>() / self.logits.len() as f64).sqrt();
        let n_vocab = self.logits.len() / (self.inputs.len() * self.n).max(1);
        let mut expected = self.logits.chunks(n_vocab.max(1));
        let (mut max_error, mut n_same, mut n_rows) = (0.0f64, 0usize, 0usize);
        for input in &self.inputs {
            for row in engine.logits(input, input.len())? {
                let expected = expected.next().unwrap_or_default();
                if row.len() != expected.len() {
                    return Err(Error::Input(format!(
                        "the model's vocabulary has {} tokens, the reference's {}",
                        row.len(),
                        expected.len()
                    )));
                }
                for (a, b) in row.iter().zip(expected) {
                    let error = f64::from((a - b).abs());
                    // A NaN is the largest error.
                    max_error = if error.is_nan() { f64::INFINITY } else { max_error.max(error) };
                }
                n_same += usize::from(best(&row) == best(expected));
                n_rows += 1;
            }
        }
        let greedy_equal = match &self.greedy {
            Some((prompt, expected)) => {
                let options = GenerateOptions {
                    max_tokens: expected.len() - prompt.len(),
                    ignore_end: true,
                    ..GenerateOptions::default()
                };
                let found = engine.generate_ids(prompt, &options)?;
                Some(expected[prompt.len()..] == found[..])
            }
            None => None,
        };
        Ok(Outcome {
            max_error,
            error_over_std: max_error / std,
            top1: n_same as f64 / n_rows.max(1) as f64,
            greedy_equal,
        })
    }
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
