//! `aquatint logits`: the likeliest next tokens.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use super::run::chat_ids;
use crate::error::Result;
use crate::text::Message;

/// Shows the likeliest tokens after a text.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint logits smollm2-135m --raw \"The capital of France is\"
  aquatint logits gemma3-270m --raw \"Once upon a time\" --top 10 --json

JSON: {ids, top: [{id, piece, logit, logprob}]}")]
pub struct Logits {
    /// Model by name or path.
    model: String,
    /// The text; - for stdin.
    text: String,
    /// Takes the text as it is, without the chat format.
    #[arg(long)]
    raw: bool,
    /// How many tokens to show.
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Logits {
    pub fn run(&self) -> Result<ExitCode> {
        let text = common::text_or_file(Some(&self.text), None)?;
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let ids = match self.raw {
            true => common::encode(&tokenizer, &text, false)?,
            false => chat_ids(&tokenizer, &[Message::new("user", text)])?,
        };
        let logits = engine.logits(&ids, 1)?.pop().unwrap_or_default();
        let largest = logits.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
        let total = largest + logits.iter().map(|&v| (f64::from(v) - largest).exp()).sum::<f64>().ln();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order.truncate(self.top);
        let piece = |id: usize| String::from_utf8_lossy(&tokenizer.piece_bytes(id as u32)).into_owned();
        if self.json {
            let top: Vec<Value> = order
                .iter()
                .map(|&id| {
                    json!({
                        "id": id,
                        "piece": piece(id),
                        "logit": logits[id],
                        "logprob": f64::from(logits[id]) - total,
                    })
                })
                .collect();
            common::print_json(&json!({ "ids": ids, "top": top }))?;
        } else {
            for id in order {
                let probability = (f64::from(logits[id]) - total).exp();
                common::print_line(&format!(
                    "{id:>8}  {:<24} logit {:>9.4}  probability {probability:.4}",
                    format!("{:?}", piece(id)),
                    logits[id]
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
