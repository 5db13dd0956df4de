//! `aquatint vectors`: questions to files of word vectors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::{Error, Result};
use crate::vectors::{VectorTable, WordVectors};

/// Word vectors: nearest words, analogies, similarities. Reads word2vec (text, binary) and GloVe files.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint vectors nearest vectors.bin king
  aquatint vectors analogy vectors.bin king - man + woman
  aquatint vectors similarity vectors.bin woman man

JSON: nearest and analogy {words: [{word, cosine}]}; similarity {cosine}")]
pub struct Vectors {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The words nearest to a word.
    Nearest {
        file: PathBuf,
        word: String,
        #[arg(long, default_value_t = 10, value_name = "K")]
        top: usize,
    },
    /// The words nearest to a sum and difference of words: king - man + woman.
    Analogy {
        file: PathBuf,
        /// Words, with + and - between them.
        #[arg(required = true, num_args = 1.., allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The cosine of two words.
    Similarity { file: PathBuf, a: String, b: String },
    /// Words as points of a picture, related ones near each other.
    Plot(super::vectors_plot::Plot),
}

impl Vectors {
    pub fn run(&self) -> Result<ExitCode> {
        let file = match &self.command {
            Command::Plot(plot) => return plot.run(&self.device, self.json),
            Command::Nearest { file, .. }
            | Command::Analogy { file, .. }
            | Command::Similarity { file, .. } => file,
        };
        let vectors = WordVectors::read(file)?;
        let gpu = self.device.open()?;
        let table = VectorTable::new(&gpu, vectors)?;
        match &self.command {
            Command::Nearest { word, top, .. } => self.print(&table.nearest(&[word], &[], *top)?),
            Command::Analogy { words, .. } => {
                let (mut plus, mut minus, mut is_minus) = (Vec::new(), Vec::new(), false);
                for word in words.iter().flat_map(|word| word.split_whitespace()) {
                    match word {
                        "+" => is_minus = false,
                        "-" => is_minus = true,
                        "--json" => return Err(Error::Input("put --json before the words".into())),
                        word if is_minus => minus.push(word),
                        word => plus.push(word),
                    }
                }
                self.print(&table.nearest(&plus, &minus, 10)?)
            }
            Command::Similarity { a, b, .. } => {
                let cosine = table.similarity(a, b)?;
                match self.json {
                    true => common::print_json(&json!({ "cosine": cosine }))?,
                    false => common::print_line(&format!("{cosine:.4}"))?,
                }
                Ok(ExitCode::SUCCESS)
            }
            // It has returned above.
            Command::Plot(_) => Ok(ExitCode::SUCCESS),
        }
    }

    fn print(&self, words: &[(&str, f32)]) -> Result<ExitCode> {
        if self.json {
            let list: Vec<Value> =
                words.iter().map(|(word, c)| json!({ "word": word, "cosine": c })).collect();
            common::print_json(&json!({ "words": list }))?;
        } else {
            for (word, cosine) in words {
                common::print_line(&format!("{cosine:.4}  {word}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
