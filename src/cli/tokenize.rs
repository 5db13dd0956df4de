//! `aquatint tokenize`: the tokens of a text.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common;
use crate::error::Result;
use crate::model;
use crate::text::Encode;

/// Shows how a model cuts a text into tokens. Needs no GPU.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint tokenize smollm2-135m \"Hello, world\"
  aquatint tokenize gemma3-270m --file book.txt --json

JSON: {tokens: [{id, piece, start, end}], n_bytes}; start and end are bytes of the text")]
pub struct Tokenize {
    /// Model by name or path.
    model: String,
    /// The text; - for stdin.
    text: Option<String>,
    /// Reads the text from a file.
    #[arg(long, conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Takes names such as <|im_start|> in the text for special tokens.
    #[arg(long)]
    special: bool,
    /// Only prints the ids.
    #[arg(long)]
    ids: bool,
    #[arg(long)]
    json: bool,
}

impl Tokenize {
    pub fn run(&self) -> Result<ExitCode> {
        let text = common::text_or_file(self.text.as_deref(), self.file.as_deref())?;
        let path = common::resolve(&self.model)?;
        let tokenizer = model::open_tokenizer(&path)?;
        let tokens =
            tokenizer.encode_with_offsets(&text, Encode { special: self.special, bos: None, eos: None })?;
        if self.json {
            let list: Vec<Value> = tokens
                .iter()
                .map(|t| {
                    json!({
                        "id": t.id,
                        "piece": String::from_utf8_lossy(&tokenizer.piece_bytes(t.id)),
                        "start": t.start,
                        "end": t.end,
                    })
                })
                .collect();
            common::print_json(&json!({ "tokens": list, "n_bytes": text.len() }))?;
        } else if self.ids {
            let ids: Vec<String> = tokens.iter().map(|t| t.id.to_string()).collect();
            common::print_line(&ids.join(" "))?;
        } else {
            for t in &tokens {
                let piece = String::from_utf8_lossy(&tokenizer.piece_bytes(t.id)).into_owned();
                common::print_line(&format!("{:>8}  {piece:?}", t.id))?;
            }
            let per_token = text.len() as f64 / tokens.len().max(1) as f64;
            eprintln!("{} tokens, {} bytes, {per_token:.2} bytes per token", tokens.len(), text.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}
