//! `aquatint score`: how likely a model finds a text.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::common::{self, DeviceArgs, EngineArgs};
use crate::error::{Error, Result};
use crate::text::Encode;

/// The log-likelihood of a text and its perplexity, in separate windows. The first token of each
/// window only gives context.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint score smollm2-135m \"The cat sat on the mat.\"
  aquatint score smollm2-135m --file wiki.txt --window 512 --tokens 4096

JSON: {tokens, nll, perplexity}: how many tokens were scored, the sum of -ln p, exp(nll / tokens)")]
pub struct Score {
    /// Model by name or path.
    model: String,
    /// The text; - for stdin.
    text: Option<String>,
    /// Reads the text from a file.
    #[arg(long, conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Tokens of a window [default: the context].
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// Only the first N tokens of the text.
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Score {
    pub fn run(&self) -> Result<ExitCode> {
        let text = common::text_or_file(self.text.as_deref(), self.file.as_deref())?;
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let mut ids = tokenizer.encode(&text, Encode { special: false, bos: None, eos: Some(false) })?;
        ids.truncate(self.tokens.unwrap_or(usize::MAX));
        let window = self.window.unwrap_or(engine.options().context);
        if window < 2 || window > engine.options().context {
            return Err(Error::Input(format!(
                "--window: expected 2 to {} tokens, found {window}",
                engine.options().context
            )));
        }
        let (mut n, mut nll) = (0usize, 0.0f64);
        for (i, ids) in ids.chunks(window).enumerate() {
            let values = engine.nll(ids)?;
            let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
            n += values.len();
            nll += sum;
            if !values.is_empty() {
                eprintln!("window {i}: {:.5} nats per token", sum / values.len() as f64);
            }
        }
        if n == 0 {
            return Err(Error::Input("the text has one token; a likelihood needs two".into()));
        }
        let perplexity = (nll / n as f64).exp();
        if self.json {
            common::print_json(&json!({ "tokens": n, "nll": nll, "perplexity": perplexity }))?;
        } else {
            common::print_line(&format!("tokens {n}  nll {nll:.3}  perplexity {perplexity:.4}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
