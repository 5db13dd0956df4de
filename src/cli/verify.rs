//! `aquatint verify`: a model against reference outputs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use safetensors::{Dtype as Stored, SafeTensors};
use serde_json::json;

use super::common::{self, DeviceArgs, LoadArgs, Store};
use crate::engine::{
    BeamOptions, Encoder, EncoderInput, Engine, EngineOptions, Event, GenerateOptions, Request,
};
use crate::error::{Error, Result};

/// Errors above this share of the logits' standard deviation fail.
const ERROR_MAX: f64 = 2e-3;

/// Runs the model in a folder on the inputs of its golden.safetensors and compares the outputs. Exit
/// code 1 where the error exceeds 0.002 of the logits' standard deviation or a greedy continuation
/// differs.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint verify tests/data/models/llama_gqa

golden.safetensors: input_ids (batch, n), logits (batch, n, vocab); optional prompt_ids (1, p),
greedy_ids (1, p + m). Encoders: attention_mask (batch, n), hidden (batch, n, width), logits of the
head, or start_logits and end_logits (batch, n). Encoder-decoders: attention_mask, decoder_input_ids
(batch, m), logits (batch, m, vocab), greedy_ids and beam4_ids (batch, 1 + tokens).

JSON: {model, kind, max_error, error_over_std, top1, greedy_equal, beams_equal, ok}")]
pub struct Verify {
    /// A folder with a model and golden.safetensors.
    folder: PathBuf,
    /// How keys and values are stored.
    #[arg(long, value_enum, default_value = "f32")]
    kv: Store,
    /// How the inputs of matrix products are stored. Encoders have f32 or f16: q8_0 is f16 there.
    #[arg(long, value_enum, default_value = "f32")]
    activations: Store,
    #[command(flatten)]
    load: LoadArgs,
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
        let (model, _) = common::load(&gpu, &self.folder, &self.load.options_without_text())?;
        let title = model.title;
        let is_encoder = model.decoder.bidirectional;
        let (kind, outcome) = if is_encoder {
            let exact = self.activations == Store::F32 && self.kv == Store::F32;
            ("encoder", golden.compare_encoder(&mut Encoder::new(model, exact)?)?)
        } else if model.encoder.is_some() {
            let end_id = model.decoder.end_id;
            let mut engine = Engine::new(model, self.options(&golden))?;
            ("encoder-decoder", golden.compare_both(&mut engine, end_id)?)
        } else {
            ("decoder", golden.compare(&mut Engine::new(model, self.options(&golden))?)?)
        };
        if self.json {
            common::print_json(&json!({
                "model": self.folder,
                "kind": kind,
                "max_error": outcome.max_error,
                "error_over_std": outcome.error_over_std,
                "top1": outcome.top1,
                "greedy_equal": outcome.greedy_equal,
                "beams_equal": outcome.beams_equal,
                "ok": outcome.ok(),
            }))?;
        } else {
            common::print_line(&format!(
                "{} ({title}): largest error {:.3e}, {:.3e} of the standard deviation; top-1 agreement {:.4}; greedy continuation {}{}: {}",
                self.folder.display(),
                outcome.max_error,
                outcome.error_over_std,
                outcome.top1,
                equal_name(outcome.greedy_equal),
                match outcome.beams_equal {
                    None => String::new(),
                    beams => format!("; beams {}", equal_name(beams)),
                },
                if outcome.ok() { "ok" } else { "FAILED" },
            ))?;
        }
        Ok(if outcome.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Verify {
    fn options(&self, golden: &Golden) -> EngineOptions {
        let greedy = golden.greedy.as_ref().map_or(0, |(_, ids)| ids.len());
        let longest = golden.written.iter().flat_map(|w| &w.greedy).map(Vec::len).fold(greedy, usize::max);
        EngineOptions {
            context: golden.n.max(longest) + 1,
            n_slots: if golden.written.is_some() { N_BEAMS } else { 1 },
            kv: self.kv.into(),
            activations: self.activations.activations(),
            ..EngineOptions::default()
        }
    }
}

/// How far a model is from its reference.
struct Outcome {
    max_error: f64,
    error_over_std: f64,
    top1: f64,
    greedy_equal: Option<bool>,
    beams_equal: Option<bool>,
}

impl Outcome {
    fn ok(&self) -> bool {
        let equal = self.greedy_equal != Some(false) && self.beams_equal != Some(false);
        self.error_over_std <= ERROR_MAX && equal && self.top1 == 1.0
    }
}

fn equal_name(equal: Option<bool>) -> &'static str {
    match equal {
        Some(true) => "equal",
        Some(false) => "DIFFERS",
        None => "not given",
    }
}

/// The beams of `beam4_ids`.
const N_BEAMS: usize = 4;

/// What an encoder-decoder writes: (batch) of each, with the token it starts from.
struct Written {
    /// Those whose logits are given.
    inputs: Vec<Vec<u32>>,
    greedy: Vec<Vec<u32>>,
    beams: Vec<Vec<u32>>,
}

/// Reference inputs and outputs.
struct Golden {
    /// (batch) of (n)
    inputs: Vec<Vec<u32>>,
    n: usize,
    /// (batch) of (n): which tokens are no padding.
    masks: Vec<Vec<u32>>,
    /// (batch, n, vocab), or (batch, n_classes)
    logits: Vec<f32>,
    /// (batch, n, n_embd), of encoders
    hidden: Vec<f32>,
    /// (batch, n) each, of models that find answers
    spans: Option<[Vec<f32>; 2]>,
    /// A prompt, and the prompt with its continuation.
    greedy: Option<(Vec<u32>, Vec<u32>)>,
    written: Option<Written>,
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
        let floats = |name: &str| -> Result<Vec<f32>> {
            let Ok(view) = file.tensor(name) else { return Ok(Vec::new()) };
            if view.dtype() != Stored::F32 {
                return Err(fail(format!("{name}: expected F32, found {:?}", view.dtype())));
            }
            Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let (logits, hidden) = (floats("logits")?, floats("hidden")?);
        if logits.is_empty() && hidden.is_empty() {
            return Err(fail("has neither logits nor hidden".into()));
        }
        let spans = match floats("start_logits")? {
            start if start.is_empty() => None,
            start => Some([start, floats("end_logits")?]),
        };
        let masks = match file.tensor("attention_mask") {
            Ok(_) => ids("attention_mask")?.1,
            Err(_) => vec![1; inputs.len()],
        };
        let rows = |name: &str| -> Result<Vec<Vec<u32>>> {
            let (shape, ids) = ids(name)?;
            Ok(ids.chunks(shape.last().copied().unwrap_or(1).max(1)).map(<[u32]>::to_vec).collect())
        };
        let (mut greedy, mut written) = (None, None);
        if file.tensor("decoder_input_ids").is_ok() {
            written = Some(Written {
                inputs: rows("decoder_input_ids")?,
                greedy: rows("greedy_ids")?,
                beams: rows("beam4_ids")?,
            });
        } else if file.tensor("greedy_ids").is_ok() {
            greedy = Some((ids("prompt_ids")?.1, ids("greedy_ids")?.1));
        }
        Ok(Golden {
            inputs: inputs.chunks(n.max(1)).map(<[u32]>::to_vec).collect(),
            masks: masks.chunks(n.max(1)).map(<[u32]>::to_vec).collect(),
            n,
            logits,
            hidden,
            spans,
            greedy,
            written,
        })
    }

    /// The texts without their padding.
    fn texts(&self) -> impl Iterator<Item = Vec<u32>> {
        self.inputs
            .iter()
            .zip(&self.masks)
            .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, m)| **m != 0).map(|(id, _)| *id).collect())
    }

    fn compare_both(&self, engine: &mut Engine, end_id: Option<u32>) -> Result<Outcome> {
        let Some(written) = &self.written else {
            return Err(Error::Input("golden.safetensors has no decoder_input_ids".into()));
        };
        let std = deviation(&self.logits);
        let n_rows: usize = written.inputs.iter().map(Vec::len).sum();
        let mut expected = self.logits.chunks((self.logits.len() / n_rows.max(1)).max(1));
        let mut worst = Worst::default();
        for (text, tokens) in self.texts().zip(&written.inputs) {
            for row in engine.logits_after(&text, tokens, tokens.len())? {
                worst.add(&row, expected.next().unwrap_or_default(), std);
            }
        }
        // What follows the start, up to the end.
        let body = |ids: &Vec<u32>| -> Vec<u32> {
            ids[1..].iter().copied().take_while(|&id| Some(id) != end_id).collect()
        };
        let mut requests = Vec::new();
        for (text, expected) in self.texts().zip(&written.greedy) {
            requests.push(engine.submit(Request {
                prompt: text,
                max_tokens: expected.len() - 1,
                end_ids: end_id.into_iter().collect(),
                ..Request::default()
            })?);
        }
        // All together: texts of different lengths do not disturb one another.
        let mut found = vec![Vec::new(); requests.len()];
        while engine.busy() {
            for event in engine.step(Duration::MAX)? {
                if let Event::Token { sequence, id } = event {
                    let at = requests.iter().position(|&request| request == sequence);
                    found[at.expect("it was submitted")].push(id);
                }
            }
        }
        let greedy_equal = written.greedy.iter().map(body).eq(found);
        let mut beams_equal = true;
        for (text, expected) in self.texts().zip(&written.beams) {
            let options = BeamOptions {
                n_beams: N_BEAMS,
                max_tokens: expected.len() - 1,
                end_ids: end_id.into_iter().collect(),
                ..BeamOptions::default()
            };
            let found = engine.beam_search(&text, &options)?;
            beams_equal &= found.first().map(|beam| &beam.ids) == Some(&body(expected));
        }
        Ok(Outcome { beams_equal: Some(beams_equal), ..worst.outcome(Some(greedy_equal)) })
    }

    /// All texts together, in one packed batch: padding is left out.
    fn compare_encoder(&self, encoder: &mut Encoder) -> Result<Outcome> {
        let mut texts = Vec::new();
        for ids in self.texts() {
            let by_text = !self.logits.is_empty() && self.logits.len() / self.inputs.len() < self.n;
            let wanted = if by_text { vec![0] } else { (0..ids.len()).collect() };
            texts.push(EncoderInput { ids, wanted, ..EncoderInput::default() });
        }
        let found = encoder.encode(&texts)?;
        let mut scale = 1.0f64;
        let mut worst = Worst::default();
        for (i, (text, found)) in texts.iter().zip(&found).enumerate() {
            // The place of each token that is no padding.
            let places: Vec<usize> = (0..self.n).filter(|&t| self.masks[i][t] != 0).collect();
            let mut rows = |expected: &[f32], n_rows: usize, found: &[Vec<f32>], places: &[usize]| {
                let width = expected.len() / (self.inputs.len() * n_rows);
                scale = deviation(expected);
                for (row, &t) in found.iter().zip(places) {
                    worst.add(row, &expected[(i * n_rows + t) * width..][..width], scale);
                }
            };
            if !self.hidden.is_empty() {
                // The reference keeps what the last layer gives.
                let hidden = if found.before_norm.is_empty() { &found.hidden } else { &found.before_norm };
                rows(&self.hidden, self.n, hidden, &places);
            }
            if let Some([start, end]) = &self.spans {
                let column =
                    |c: usize| -> Vec<Vec<f32>> { found.logits.iter().map(|row| vec![row[c]]).collect() };
                rows(start, self.n, &column(0), &places);
                rows(end, self.n, &column(1), &places);
            } else if text.wanted.len() == 1 && !self.logits.is_empty() {
                rows(&self.logits, 1, &found.logits, &[0]);
            } else if !self.logits.is_empty() {
                rows(&self.logits, self.n, &found.logits, &places);
            }
        }
        Ok(worst.outcome(None))
    }

    fn compare(&self, engine: &mut Engine) -> Result<Outcome> {
        let std = deviation(&self.logits);
        let n_vocab = self.logits.len() / (self.inputs.len() * self.n).max(1);
        let mut expected = self.logits.chunks(n_vocab.max(1));
        let mut worst = Worst::default();
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
                worst.add(&row, expected, std);
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
        Ok(worst.outcome(greedy_equal))
    }
}

/// The largest errors so far.
#[derive(Default)]
struct Worst {
    max_error: f64,
    error_over_std: f64,
    n_same: usize,
    n_rows: usize,
}

impl Worst {
    fn add(&mut self, found: &[f32], expected: &[f32], std: f64) {
        for (a, b) in found.iter().zip(expected) {
            let error = f64::from((a - b).abs());
            // A NaN is the largest error.
            let error = if error.is_nan() { f64::INFINITY } else { error };
            self.max_error = self.max_error.max(error);
            self.error_over_std = self.error_over_std.max(error / std);
        }
        self.n_same += usize::from(best(found) == best(expected));
        self.n_rows += 1;
    }

    fn outcome(self, greedy_equal: Option<bool>) -> Outcome {
        Outcome {
            max_error: self.max_error,
            error_over_std: self.error_over_std,
            top1: self.n_same as f64 / self.n_rows.max(1) as f64,
            greedy_equal,
            beams_equal: None,
        }
    }
}

/// The standard deviation of all values.
fn deviation(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
