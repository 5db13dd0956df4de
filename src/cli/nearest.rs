//! `aquatint nearest`: the nearest tokens of a model's embedding, or words of a file of vectors.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::{Error, Result};
use crate::model::load_embedding;
use crate::text::{Encode, Tokenizer};
use crate::vectors::{Nearest as Table, TOP_MAX, WordVectors, similar_words};
use crate::weights::Weights;

/// The tokens of a model whose rows of the input embedding are nearest to a word's, by cosine; or the words
/// of a file of word vectors (word2vec text and binary, GloVe). All rows are compared on the GPU.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint nearest smollm2-135m king
  aquatint nearest gemma3-270m king --top 20
  aquatint nearest vectors.bin --analogy king - man + woman

JSON: {rows, nearest: [{word, id, cosine}]}; the words of the question are left out")]
pub struct Nearest {
    #[arg(long)]
    json: bool,
    /// How many to show.
    #[arg(long, default_value_t = 10, value_name = "K")]
    top: usize,
    /// Model by name or path, or a file of word vectors.
    model: String,
    /// A word.
    #[arg(required_unless_present = "analogy")]
    word: Option<String>,
    /// A sum and difference of words, as in king - man + woman. Comes last.
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_name = "WORDS", conflicts_with = "word")]
    analogy: Option<Vec<String>>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A table and the names of its rows.
pub enum Named {
    Tokens(Box<Tokenizer>),
    Words { words: Vec<String>, place: HashMap<String, u32> },
}

impl Nearest {
    pub fn run(&self) -> Result<ExitCode> {
        if self.top == 0 || self.top > TOP_MAX {
            return Err(Error::Input(format!("--top: expected 1 to {TOP_MAX}, found {}", self.top)));
        }
        let (plus, minus) = match (&self.analogy, &self.word) {
            (Some(words), _) => sum_of(words)?,
            (None, Some(word)) => (vec![word.clone()], Vec::new()),
            (None, None) => return Err(Error::Input("give a WORD, or --analogy WORDS".into())),
        };
        let (names, table) = Named::open(&self.model, &self.device, plus.iter().chain(&minus))?;
        let (mut query, mut given) = (Vec::new(), Vec::new());
        for (words, sign) in [(&plus, 1.0), (&minus, -1.0)] {
            for word in words {
                let ids = names.find(word)?;
                // Words count the same, whatever the lengths of their vectors.
                let unit = unit(&mean(&table.rows(&ids)?));
                query.resize(unit.len(), 0.0);
                query.iter_mut().zip(&unit).for_each(|(sum, v)| *sum += sign * v);
                given.extend(ids);
            }
        }
        let query: Vec<f32> = query.iter().map(|&v| v as f32).collect();
        let wanted = (self.top + given.len()).min(table.n_rows()).min(TOP_MAX);
        let found = table.nearest(&query, wanted)?;
        let found = found.into_iter().filter(|&(row, _)| !given.contains(&(row as u32)));
        let found: Vec<(usize, f32)> = found.take(self.top).collect();
        if found.is_empty() {
            return Err(Error::Input(format!("{} has nothing but the words of the question", self.model)));
        }
        if self.json {
            let list: Vec<Value> = found
                .iter()
                .map(|&(row, cosine)| json!({ "word": names.name(row), "id": row, "cosine": cosine }))
                .collect();
            common::print_json(&json!({ "rows": table.n_rows(), "nearest": list }))?;
        } else {
            for (row, cosine) in found {
                // Spaces belong to tokens, so their ends must show.
                let name = names.name(row);
                let name = if matches!(names, Named::Tokens(_)) { format!("{name:?}") } else { name };
                common::print_line(&format!("{cosine:.4}  {name}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    /// Opens a model's embedding or a file of vectors. Words that a file does not have are an error before
    /// anything goes to the device.
    pub fn open<'a>(
        model: &str,
        device: &DeviceArgs,
        words: impl Iterator<Item = &'a String>,
    ) -> Result<(Named, Table)> {
        let path = common::resolve(model)?;
        match Weights::open(&path) {
            Ok(weights) => {
                let names = Named::Tokens(Box::new(crate::model::tokenizer(&weights)?));
                for word in words {
                    names.find(word)?;
                }
                let gpu = device.open()?;
                let table = Table::new(&gpu, load_embedding(&gpu, &weights)?)?;
                Ok((names, table))
            }
            // A file that means to be a model says why it is none.
            Err(error) if is_model_name(&path) => Err(error),
            Err(_) => {
                let (names, vectors) = Named::of_file(&path)?;
                for word in words {
                    names.find(word)?;
                }
                let gpu = device.open()?;
                let table = Table::of_values(&gpu, &vectors.values, vectors.dimensions)?;
                Ok((names, table))
            }
        }
    }

    /// Reads a file of vectors; the words go into the names.
    pub fn of_file(path: &Path) -> Result<(Named, WordVectors)> {
        let mut vectors = WordVectors::read(path)?;
        let words = std::mem::take(&mut vectors.words);
        let mut place = HashMap::new();
        for (i, word) in words.iter().enumerate() {
            // The first of equal words counts, as it is the commonest.
            place.entry(word.clone()).or_insert(i as u32);
        }
        Ok((Named::Words { words, place }, vectors))
    }

    /// The rows of a word: one, or those of its pieces in a model that has no token for it.
    pub fn find(&self, word: &str) -> Result<Vec<u32>> {
        match self {
            Named::Words { words, place } => match place.get(word) {
                Some(&row) => Ok(vec![row]),
                None => {
                    let similar = similar_words(words.iter().map(String::as_str), word, 5);
                    let advice = match similar.is_empty() {
                        true => String::new(),
                        false => format!("; did you mean {}?", similar.join(", ")),
                    };
                    Err(Error::Input(format!(
                        "{word:?} is not among the {} words of these vectors{advice}",
                        words.len()
                    )))
                }
            },
            Named::Tokens(tokenizer) => {
                let plain = Encode { special: false, bos: Some(false), eos: Some(false) };
                // A word inside of a text has a space before it, which most tokenizers make part of it.
                let spaced = tokenizer.encode(&format!(" {word}"), plain)?;
                let own = tokenizer.encode(word, plain)?;
                let ids = if spaced.len() > 1 && own.len() < spaced.len() { own } else { spaced };
                match ids.is_empty() || ids.iter().all(|&id| Some(id) == tokenizer.unk()) {
                    true => Err(Error::Input(format!("the model has no token for {word:?}"))),
                    false => {
                        if ids.len() > 1 {
                            let pieces: Vec<String> = ids.iter().map(|&id| piece(tokenizer, id)).collect();
                            eprintln!(
                                "note: {word:?} is {} tokens, {pieces:?}; their mean is taken",
                                ids.len()
                            );
                        }
                        Ok(ids)
                    }
                }
            }
        }
    }

    pub fn name(&self, row: usize) -> String {
        match self {
            Named::Words { words, .. } => words.get(row).cloned().unwrap_or_default(),
            Named::Tokens(tokenizer) => piece(tokenizer, row as u32),
        }
    }
}

fn piece(tokenizer: &Tokenizer, id: u32) -> String {
    String::from_utf8_lossy(&tokenizer.piece_bytes(id)).into_owned()
}

fn is_model_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    path.is_dir() || ["gguf", "safetensors"].contains(&extension)
}

/// (plus, minus) of words with + and - between them.
fn sum_of(words: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut plus, mut minus, mut is_minus) = (Vec::new(), Vec::new(), false);
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        match word {
            "+" => is_minus = false,
            "-" => is_minus = true,
            "--json" | "--top" => {
                return Err(Error::Input(format!("put {word} before --analogy, whose words come last")));
            }
            word if is_minus => minus.push(word.to_owned()),
            word => plus.push(word.to_owned()),
        }
    }
    match plus.is_empty() && minus.is_empty() {
        true => Err(Error::Input("--analogy: expected words with + and - between them".into())),
        false => Ok((plus, minus)),
    }
}

pub fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let n = rows.len().max(1) as f64;
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|c| (rows.iter().map(|row| f64::from(row[c])).sum::<f64>() / n) as f32).collect()
}

fn unit(row: &[f32]) -> Vec<f64> {
    let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-30);
    row.iter().map(|&v| f64::from(v) / length).collect()
}
