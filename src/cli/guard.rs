//! When an answer must end: listed phrases, and a classifier's verdict on what was said.

use std::path::PathBuf;

use clap::Args;

use super::common::{self, LoadArgs};
use super::{embed, heads};
use crate::engine::{Encoder, Engine, Finish, GenerateOptions};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::OutputHead;
use crate::text::Tokenizer;

use super::run::Answer;

#[derive(Args, Debug, Clone, Default)]
pub struct GuardArgs {
    /// Ends the answer before any phrase of this file, one a line, in capitals or not.
    #[arg(long, value_name = "FILE")]
    pub stop_on: Option<PathBuf>,
    /// Ends the answer before the sentence after which a classifier gives a label at least this probability.
    #[arg(long, value_name = "MODEL:LABEL:THRESHOLD")]
    pub stop_classifier: Option<String>,
}

/// What watches over an answer.
#[derive(Default)]
pub struct Guard {
    phrases: Vec<String>,
    /// For messages.
    file: String,
    classifier: Option<Classifier>,
}

struct Classifier {
    name: String,
    encoder: Encoder,
    tokenizer: std::sync::Arc<Tokenizer>,
    label: String,
    column: usize,
    threshold: f64,
}

/// Bytes of a text without the end of a sentence that are judged anyway.
const SENTENCE_MAX: usize = 400;

impl GuardArgs {
    /// Reads the phrases, which needs no device: mistakes show before a model is loaded.
    pub fn phrases(&self) -> Result<Guard> {
        let mut guard = Guard::default();
        if let Some(spec) = &self.stop_classifier {
            parts(spec)?;
        }
        let Some(file) = &self.stop_on else { return Ok(guard) };
        let text = common::text_or_file(None, Some(file))?;
        guard.phrases = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        guard.file = file.display().to_string();
        if guard.phrases.is_empty() {
            return Err(Error::file(file.display(), "has no phrases; expected one a line"));
        }
        Ok(guard)
    }

    /// Loads the classifier onto the device of the model that answers.
    pub fn classifier(&self, guard: &mut Guard, gpu: &Gpu) -> Result<()> {
        let Some(spec) = &self.stop_classifier else { return Ok(()) };
        let (name, label, threshold) = parts(spec)?;
        let path = common::resolve(name)?;
        let (model, _) = common::load(gpu, &path, &LoadArgs { quantize: None }.options())?;
        let tokenizer = model.tokenizer()?.clone();
        let OutputHead::First { out, .. } = &model.tensors.head else {
            return Err(heads::wrong_head(&Encoder::new(model, true)?, "classifies texts"));
        };
        let labels = heads::labels(&path, out.weight.n_rows);
        let column = labels.iter().position(|l| l.eq_ignore_ascii_case(label)).ok_or_else(|| {
            Error::Input(format!("{name} has no label {label:?}; it has {}", labels.join(", ")))
        })?;
        guard.classifier = Some(Classifier {
            name: name.to_owned(),
            encoder: Encoder::new(model, true)?,
            tokenizer,
            label: labels[column].clone(),
            column,
            threshold,
        });
        Ok(())
    }
}

/// MODEL:LABEL:THRESHOLD, where the model's path may hold colons.
fn parts(spec: &str) -> Result<(&str, &str, f64)> {
    let mut parts = spec.rsplitn(3, ':');
    let threshold = parts.next().and_then(|t| t.parse::<f64>().ok()).filter(|t| (0.0..=1.0).contains(t));
    match (threshold, parts.next(), parts.next()) {
        (Some(threshold), Some(label), Some(model)) if !label.is_empty() && !model.is_empty() => {
            Ok((model, label, threshold))
        }
        _ => Err(Error::Input(format!(
            "--stop-classifier: expected MODEL:LABEL:THRESHOLD with a threshold from 0 to 1, found {spec:?}"
        ))),
    }
}

impl Classifier {
    /// The reason to end after `text`, judged by its tail.
    fn verdict(&mut self, text: &str) -> Result<Option<String>> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let mut input = embed::input(&self.tokenizer, text, usize::MAX)?;
        // The first token opens the text; what follows it gives way.
        let excess = input.ids.len().saturating_sub(self.encoder.context());
        input.ids.drain(1..1 + excess.min(input.ids.len() - 1));
        input.wanted = vec![0];
        let row = self.encoder.encode(&[input])?.remove(0).logits.remove(0);
        let p = heads::probabilities(&row)[self.column];
        Ok((p >= self.threshold).then(|| {
            let Classifier { name, label, threshold, .. } = self;
            format!("{name} gives {label} a probability of {p:.3} (the limit is {threshold})")
        }))
    }
}

/// Whether a text ends with a sentence, or has gone on for too long without.
fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end_matches([' ', '"', '\'', '”', '’', ')']);
    end.ends_with(['.', '!', '?', '\n', '。', '！', '？']) || text.len() > SENTENCE_MAX
}

impl Guard {
    /// Generates and gives out each piece as it comes; with a classifier, each sentence once it has passed.
    pub fn generate(
        &mut self,
        engine: &mut Engine,
        ids: &[u32],
        options: &GenerateOptions,
        mut each: impl FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        let mut generation = engine.generate(ids, options)?.stop_on(&self.phrases);
        let (mut text, mut pending) = (String::new(), String::new());
        let mut reason = None;
        loop {
            let piece = generation.next().transpose()?;
            let is_last = piece.is_none();
            pending.push_str(piece.as_ref().map_or("", |piece| &piece.text));
            if let Some(classifier) = &mut self.classifier {
                if !is_last && !ends_sentence(&pending) {
                    continue;
                }
                if let Some(why) = classifier.verdict(&format!("{text}{pending}"))? {
                    reason = Some(why);
                    break;
                }
            }
            each(&pending)?;
            text.push_str(&std::mem::take(&mut pending));
            if is_last {
                break;
            }
        }
        let listed = |stop: &&str| self.phrases.iter().any(|phrase| phrase == stop);
        if let (None, Some(phrase)) = (&reason, generation.stopped_by().filter(listed)) {
            reason = Some(format!("the phrase {phrase:?} of {} came up", self.file));
        }
        Ok(Answer {
            text,
            ids: generation.ids().to_vec(),
            finish: generation.finish().unwrap_or(Finish::Stop),
            stats: generation.stats(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_is_named_with_its_label_and_limit() {
        assert_eq!(parts("C:/m:toxic:0.8").ok(), Some(("C:/m", "toxic", 0.8)));
        for wrong in ["m:toxic", "m:toxic:2", "m:toxic:x", ":toxic:0.5", "m::0.5", ""] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sentences_end_with_their_marks() {
        assert!(ends_sentence("Yes.") && ends_sentence("\"Yes!\" ") && ends_sentence("one\n"));
        assert!(!ends_sentence("3.5 litres") && !ends_sentence(""));
        assert!(ends_sentence(&"a ".repeat(300)));
    }
}
