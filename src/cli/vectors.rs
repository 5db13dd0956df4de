//! `aquatint vectors`: training of word vectors, and questions to files of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use super::vectors_evaluate::Evaluate;
use super::vectors_train::{Format, Train};
use crate::error::{Error, Result};
use crate::vectors::{VectorTable, WordVectors};

/// Word vectors: training, nearest words, analogies. Reads word2vec (text, binary) and GloVe files.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint vectors train book.txt -o book.bin
  aquatint vectors nearest book.bin king
  aquatint vectors analogy book.bin king - man + woman
  aquatint vectors odd book.bin breakfast cereal dinner lunch
  aquatint vectors evaluate book.bin questions-words.txt wordsim353.tsv
  aquatint vectors convert book.bin book.txt

JSON: nearest and analogy {words: [{word, cosine}]}; similarity {cosine}; odd {odd, words: [{word, cosine}]};
convert {file, words, dimensions}; of train and evaluate see their --help")]
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
    Train(Train),
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
    /// The word that does not belong to the others.
    Odd {
        file: PathBuf,
        #[arg(required = true, num_args = 2..)]
        words: Vec<String>,
    },
    /// The cosine of two words.
    Similarity {
        file: PathBuf,
        a: String,
        b: String,
    },
    Evaluate(Evaluate),
    /// Writes vectors in another format. Needs no GPU.
    Convert {
        file: PathBuf,
        output: PathBuf,
        /// How the file is written [default: binary if its name ends in .bin, text otherwise].
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Words as points of a picture, related ones near each other.
    Plot(super::vectors_plot::Plot),
}

impl Vectors {
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Train(train) => train.run(&self.device, self.json),
            Command::Plot(plot) => plot.run(&self.device, self.json),
            Command::Evaluate(evaluate) => evaluate.run(&self.device, self.json),
            Command::Nearest { file, word, top } => {
                let mut table = self.table(file)?;
                self.print(&table.nearest(&[word], &[], *top)?)
            }
            Command::Analogy { file, words } => self.analogy(file, words),
            Command::Odd { file, words } => self.odd(file, words),
            Command::Similarity { file, a, b } => {
                let cosine = self.table(file)?.similarity(a, b)?;
                match self.json {
                    true => common::print_json(&json!({ "cosine": cosine }))?,
                    false => common::print_line(&format!("{cosine:.4}"))?,
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Convert { file, output, format } => {
                let vectors = WordVectors::read(file)?;
                vectors.write(output, Format::of(*format, output))?;
                let (n, dimensions) = (vectors.words.len(), vectors.dimensions);
                match self.json {
                    true => {
                        common::print_json(&json!({ "file": output, "words": n, "dimensions": dimensions }))?
                    }
                    false => common::print_line(&format!(
                        "{}: {n} words of {dimensions} dimensions",
                        output.display()
                    ))?,
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn table(&self, file: &Path) -> Result<VectorTable> {
        let vectors = WordVectors::read(file)?;
        VectorTable::new(&self.device.open()?, vectors)
    }

    fn analogy(&self, file: &Path, words: &[String]) -> Result<ExitCode> {
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
        let mut table = self.table(file)?;
        self.print(&table.nearest(&plus, &minus, 10)?)
    }

    fn odd(&self, file: &Path, words: &[String]) -> Result<ExitCode> {
        let table = self.table(file)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ranked = table.by_centrality(&words)?;
        if self.json {
            let list: Vec<Value> =
                ranked.iter().map(|(word, c)| json!({ "word": word, "cosine": c })).collect();
            common::print_json(&json!({ "odd": ranked.last().map(|(word, _)| word), "words": list }))?;
        } else {
            for (word, cosine) in ranked.iter().rev() {
                common::print_line(&format!("{cosine:.4}  {word}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
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
