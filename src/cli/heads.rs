//! `aquatint fill`, `classify`, `label`, `answer`: what the heads of encoders say.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, LoadArgs};
use super::embed::{input, open};
use crate::engine::{Encoder, EncoderInput};
use crate::error::{Error, Result};
use crate::model::OutputHead;
use crate::text::{Encode, Tokenizer};

/// The likeliest tokens for each mask in a text.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint fill ./bert-base-uncased \"Paris is the [MASK] of France.\" --top 3

JSON: {masks: [{position, top: [{id, piece, logit, probability}]}]}")]
pub struct Fill {
    /// Model by name or path: an encoder with a masked language model's head.
    model: String,
    /// A text with the model's mask token (or [MASK]) in it.
    text: String,
    /// The text is a list of token ids: 2,4,14,3.
    #[arg(long)]
    ids: bool,
    /// How many tokens to show for each mask.
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// The class of a text.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint classify ./sentiment-model \"What a lovely day!\"

JSON: {classes: [{label, logit, probability}]}, the likeliest first")]
pub struct Classify {
    /// Model by name or path: an encoder with a classifier.
    model: String,
    text: String,
    /// The text is a list of token ids: 12,16,24.
    #[arg(long)]
    ids: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// The class of each token of a text.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint label ./ner-model \"Ada Lovelace lived in London.\"

JSON: {tokens: [{id, piece, start, end, label, probability}]}")]
pub struct Label {
    /// Model by name or path: an encoder with a classifier of tokens.
    model: String,
    text: String,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// The part of a text that answers a question.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint answer ./qa-model \"Who wrote it?\" \"The book was written by Ada Lovelace in 1843.\"

JSON: {answer, start, end, score}; start and end are bytes of the text, score the product of probabilities")]
pub struct Answer {
    /// Model by name or path: an encoder that finds answers.
    model: String,
    question: String,
    text: String,
    /// Tokens of an answer at most.
    #[arg(long, default_value_t = 30, value_name = "N")]
    longest: usize,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

pub(super) fn wrong_head(encoder: &Encoder, wanted: &str) -> Error {
    let found = match &encoder.model().tensors.head {
        OutputHead::Next(_) => "predicts next tokens",
        OutputHead::Masked { .. } => "fills masks",
        OutputHead::First { .. } => "classifies texts",
        OutputHead::Each(_) => "labels tokens",
        OutputHead::Span(_) => "finds answers",
        OutputHead::None => "only gives vectors",
    };
    Error::Unsupported(format!("this needs a model that {wanted}; the one given {found}"))
}

pub(super) fn probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
    let weights: Vec<f64> = logits.iter().map(|&v| (f64::from(v) - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// Places in falling order of their values.
fn best_first(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
}

/// The names of a model's classes, from `id2label` of its config.json.
pub(super) fn labels(path: &std::path::Path, n: usize) -> Vec<String> {
    let text = std::fs::read_to_string(path.join("config.json")).unwrap_or_default();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    (0..n)
        .map(|i| json["id2label"][i.to_string()].as_str().map_or_else(|| format!("LABEL_{i}"), str::to_owned))
        .collect()
}

/// An input of ids that the user has made, special tokens included.
fn listed_ids(text: &str) -> Result<EncoderInput> {
    let numbers = text.split([',', ' ', '[', ']']).filter(|part| !part.is_empty());
    let number = |part: &str| {
        part.parse()
            .map_err(|_| Error::Input(format!("--ids: expected numbers such as 2,4,3, found {part:?}")))
    };
    Ok(EncoderInput { ids: numbers.map(number).collect::<Result<_>>()?, ..EncoderInput::default() })
}

fn piece(tokenizer: &Tokenizer, id: u32) -> String {
    String::from_utf8_lossy(&tokenizer.piece_bytes(id)).into_owned()
}

impl Fill {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut encoder, tokenizer, _) = open(&self.model, &self.device, &self.load, true)?;
        if !matches!(encoder.model().tensors.head, OutputHead::Masked { .. }) {
            return Err(wrong_head(&encoder, "fills masks"));
        }
        let mask =
            tokenizer.mask().ok_or_else(|| Error::Text("the model's tokenizer has no mask token".into()))?;
        let name = tokenizer.piece(mask).unwrap_or("[MASK]").to_owned();
        let text = self.text.replace("[MASK]", &name);
        let mut input = match self.ids {
            true => listed_ids(&self.text)?,
            false => input(&tokenizer, &text, usize::MAX)?,
        };
        input.wanted = (0..input.ids.len()).filter(|&i| input.ids[i] == mask).collect();
        if input.wanted.is_empty() {
            return Err(Error::Input(format!("the text has no mask; write {name} where a word is wanted")));
        }
        let places = input.wanted.clone();
        let encoded = encoder.encode(&[input])?.remove(0);
        let mut masks = Vec::new();
        for (place, row) in places.iter().zip(&encoded.logits) {
            let p = probabilities(row);
            let order = best_first(&p);
            let top = order.iter().take(self.top);
            if !self.json {
                for &id in top.clone() {
                    common::print_line(&format!(
                        "{place:>4}  {:<20} {:.4}",
                        format!("{:?}", piece(&tokenizer, id as u32)),
                        p[id]
                    ))?;
                }
            }
            let top: Vec<Value> = top
                .map(|&id| json!({ "id": id, "piece": piece(&tokenizer, id as u32), "logit": row[id], "probability": p[id] }))
                .collect();
            masks.push(json!({ "position": place, "top": top }));
        }
        if self.json {
            common::print_json(&json!({ "masks": masks }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Classify {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut encoder, tokenizer, path) = open(&self.model, &self.device, &self.load, true)?;
        if !matches!(encoder.model().tensors.head, OutputHead::First { .. }) {
            return Err(wrong_head(&encoder, "classifies texts"));
        }
        let mut input = match self.ids {
            true => listed_ids(&self.text)?,
            false => input(&tokenizer, &self.text, usize::MAX)?,
        };
        input.wanted = vec![0];
        let row = encoder.encode(&[input])?.remove(0).logits.remove(0);
        let (p, names) = (probabilities(&row), labels(&path, row.len()));
        let classes: Vec<Value> = best_first(&p)
            .into_iter()
            .map(|i| json!({ "label": names[i], "logit": row[i], "probability": p[i] }))
            .collect();
        if self.json {
            common::print_json(&json!({ "classes": classes }))?;
        } else {
            for i in best_first(&p) {
                common::print_line(&format!("{:<24} {:.4}", names[i], p[i]))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Label {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut encoder, tokenizer, path) = open(&self.model, &self.device, &self.load, true)?;
        if !matches!(encoder.model().tensors.head, OutputHead::Each(_)) {
            return Err(wrong_head(&encoder, "labels tokens"));
        }
        let tokens =
            tokenizer.encode_with_offsets(&self.text, Encode { special: true, bos: None, eos: None })?;
        let mut input = input(&tokenizer, &self.text, usize::MAX)?;
        input.wanted = (0..input.ids.len()).collect();
        let rows = encoder.encode(&[input])?.remove(0).logits;
        let names = labels(&path, rows.first().map_or(0, Vec::len));
        let mut list = Vec::new();
        for (token, row) in tokens.iter().zip(&rows) {
            let p = probabilities(row);
            let best = best_first(&p)[0];
            if !self.json {
                common::print_line(&format!(
                    "{:<20} {:<16} {:.4}",
                    piece(&tokenizer, token.id),
                    names[best],
                    p[best]
                ))?;
            }
            list.push(json!({
                "id": token.id,
                "piece": piece(&tokenizer, token.id),
                "start": token.start,
                "end": token.end,
                "label": names[best],
                "probability": p[best],
            }));
        }
        if self.json {
            common::print_json(&json!({ "tokens": list }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Answer {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut encoder, tokenizer, _) = open(&self.model, &self.device, &self.load, true)?;
        if !matches!(encoder.model().tensors.head, OutputHead::Span(_)) {
            return Err(wrong_head(&encoder, "finds answers"));
        }
        // [CLS] question [SEP] text [SEP], the second text's tokens of type 1 where there are types.
        let mut input = input(&tokenizer, &self.question, usize::MAX)?;
        let first = input.ids.len();
        let plain = Encode { special: false, bos: Some(false), eos: Some(false) };
        let tokens = tokenizer.encode_with_offsets(&self.text, plain)?;
        input.ids.extend(tokens.iter().map(|token| token.id));
        input.ids.extend(tokenizer.sep().or(tokenizer.eos()));
        if encoder.model().tensors.token_types.as_ref().is_some_and(|types| types.n_rows > 1) {
            input.token_types = (0..input.ids.len()).map(|i| u32::from(i >= first)).collect();
        }
        input.wanted = (first..first + tokens.len()).collect();
        let rows = encoder.encode(&[input])?.remove(0).logits;
        let column = |c: usize| probabilities(&rows.iter().map(|row| row[c]).collect::<Vec<f32>>());
        let (starts, ends) = (column(0), column(1));
        let mut best = (0, 0, 0.0);
        for (i, start) in starts.iter().enumerate() {
            for (j, end) in ends.iter().enumerate().skip(i).take(self.longest) {
                if start * end > best.2 {
                    best = (i, j, start * end);
                }
            }
        }
        if tokens.is_empty() {
            return Err(Error::Input("the text to search is empty".into()));
        }
        let (start, end) = (tokens[best.0].start, tokens[best.1].end);
        let answer = self.text.get(start..end).unwrap_or_default().trim();
        if self.json {
            common::print_json(&json!({ "answer": answer, "start": start, "end": end, "score": best.2 }))?;
        } else {
            common::print_line(answer)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
