//! `aquatint embed`: vectors of sentences and tokens.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::{self, DeviceArgs, LoadArgs};
use super::{embed_evaluate, plot};
use crate::engine::{Encoder, EncoderInput, Pooling, cosine};
use crate::error::{Error, Result};
use crate::model::{describe, load_embedding};
use crate::text::{Encode, Tokenizer};
use crate::vectors::{Array, rows};
use crate::weights::Weights;

/// Vectors of sentences by an encoder, in batches without padding. Nothing is cut off unless asked.
///
/// --tokens gives one vector per token: of an encoder what it makes of the token in its text (the same word
/// differs from text to text), of a decoder the token's row of the input embedding. --input-rows gives these
/// rows of any model: what it knows of a token before it has read the text.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint embed \"The cat sits on the mat.\" \"A feline rests on a rug.\" --similarity
  aquatint embed --file sentences.txt --format csv > vectors.csv
  aquatint embed --file sentences.txt --plot sentences.svg
  aquatint embed \"The bank of the river\" --tokens
  aquatint embed -m smollm2-135m \"The bank of the river\" --input-rows --format npy -o rows.npy
  aquatint embed --evaluate stsb-en-test.csv

JSON: {model, dimensions, vectors: [[...]], tokens: [n, ...]}; with --similarity also similarity: [[...]];
with --tokens and --input-rows vectors is one list of vectors per text, beside kind: contextual|input,
ids: [[id]], pieces: [[text]]; with --plot {output, shares, points}; with --evaluate {pairs, spearman, sentences_per_second}")]
pub struct Embed {
    /// Texts.
    texts: Vec<String>,
    /// Model by name or path.
    #[arg(long, short = 'm', default_value = "all-minilm-l6-v2")]
    model: String,
    /// Also the lines of a file, one text each.
    #[arg(long)]
    file: Option<PathBuf>,
    /// How hidden states become one vector [default: as the model's files say, else the mean].
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,
    /// Leaves the vectors at their own length.
    #[arg(long)]
    no_normalise: bool,
    /// One vector per token instead of one per text.
    #[arg(long)]
    tokens: bool,
    /// The rows of the model's input embedding for the tokens of the texts.
    #[arg(long, conflicts_with_all = ["similarity", "pooling", "evaluate"])]
    input_rows: bool,
    /// Draws the vectors in the plane of their two largest principal components, as .svg or .html.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["similarity", "evaluate", "output"])]
    plot: Option<PathBuf>,
    /// Writes the vectors to a file instead of stdout.
    #[arg(long, short = 'o', value_name = "FILE", conflicts_with_all = ["similarity", "evaluate"])]
    output: Option<PathBuf>,
    /// Cosines between all texts.
    #[arg(long)]
    similarity: bool,
    /// Cuts texts off after this many tokens.
    #[arg(long, value_name = "N")]
    truncate: Option<usize>,
    /// Spearman's correlation with the scores in the last column of a CSV file of sentence pairs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "tokens", "similarity"])]
    evaluate: Option<PathBuf>,
    /// How vectors are written: lines of numbers, or numpy's file with one row each (needs -o).
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Stores activations as f32 instead of f16.
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PoolingArg {
    Mean,
    Cls,
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Csv,
    Npy,
}

impl Embed {
    pub fn run(&self) -> Result<ExitCode> {
        if self.format == Format::Npy && self.output.is_none() {
            return Err(Error::Input("--format npy writes bytes: give a file with -o FILE.npy".into()));
        }
        let texts = self.texts()?;
        let path = common::resolve(&self.model)?;
        let is_encoder = describe(&Weights::open(&path)?)?.1.bidirectional;
        if self.input_rows || (self.tokens && !is_encoder) {
            return self.run_input_rows(&path, &texts);
        }
        let (mut encoder, tokenizer, path) = open(&self.model, &self.device, &self.load, self.exact)?;
        let pooling = match self.pooling {
            Some(PoolingArg::Mean) => Pooling::Mean,
            Some(PoolingArg::Cls) => Pooling::First,
            Some(PoolingArg::Last) => Pooling::Last,
            None => pooling_of(&path),
        };
        if let Some(file) = &self.evaluate {
            let most = self.truncate.unwrap_or(usize::MAX);
            let to_input = |text: &str| input(&tokenizer, text, most);
            return embed_evaluate::evaluate(&mut encoder, pooling, file, &to_input, self.json);
        }
        let inputs = self.inputs(&tokenizer, &texts)?;
        let encoded = encoder.encode(&inputs)?;
        if self.tokens {
            let ids: Vec<&[u32]> = inputs.iter().map(|input| &input.ids[..]).collect();
            let rows = encoded.into_iter().map(|encoded| encoded.hidden).collect();
            return self.print_tokens(&tokenizer, &ids, rows, "contextual");
        }
        let vectors: Vec<Vec<f32>> = encoded.iter().map(|e| e.pool(pooling, !self.no_normalise)).collect();
        if let Some(output) = &self.plot {
            let title = format!("{} sentences by {}", texts.len(), self.model);
            return self.report_plot(plot::draw(&title, &texts, &vectors, output)?);
        }
        let cosines = match self.similarity {
            true => cosines(&vectors),
            false => Vec::new(),
        };
        let n: Vec<usize> = inputs.iter().map(|input| input.ids.len()).collect();
        if self.json {
            let mut object = json!({
                "model": self.model,
                "dimensions": vectors[0].len(),
                "vectors": vectors,
                "tokens": n,
            });
            if self.similarity {
                object["similarity"] = json!(cosines);
            }
            self.print_object(&object)
        } else if self.similarity {
            for (text, row) in texts.iter().zip(&cosines) {
                let row: Vec<String> = row.iter().map(|v| format!("{v:7.4}")).collect();
                common::print_line(&format!("{}  {text}", row.join(" ")))?;
            }
            Ok(ExitCode::SUCCESS)
        } else {
            self.print_vectors(&vectors, &[])
        }
    }

    fn texts(&self) -> Result<Vec<String>> {
        let mut texts = self.texts.clone();
        if let Some(file) = &self.file {
            texts.extend(common::text_or_file(None, Some(file))?.lines().map(str::to_owned));
        }
        match texts.is_empty() && self.evaluate.is_none() {
            true => Err(Error::Input("give a text, or --file FILE with one text per line".into())),
            false => Ok(texts),
        }
    }

    /// The rows of the input embedding, which needs none of the other weights.
    fn run_input_rows(&self, path: &Path, texts: &[String]) -> Result<ExitCode> {
        let weights = Weights::open(path)?;
        let tokenizer = crate::model::tokenizer(&weights)?;
        let inputs = self.inputs(&tokenizer, texts)?;
        if let Some(i) = inputs.iter().position(|input| input.ids.is_empty()) {
            return Err(Error::Input(format!("text {i} has no tokens")));
        }
        let gpu = self.device.open()?;
        let table = load_embedding(&gpu, &weights)?;
        let rows = inputs.iter().map(|input| rows(&gpu, &table, &input.ids)).collect::<Result<_>>()?;
        if self.tokens {
            eprintln!("note: rows of the input embedding, without the text around the tokens");
        }
        let ids: Vec<&[u32]> = inputs.iter().map(|input| &input.ids[..]).collect();
        self.print_tokens(&tokenizer, &ids, rows, "input")
    }

    /// Vectors of tokens, one list per text.
    fn print_tokens(
        &self,
        tokenizer: &Tokenizer,
        ids: &[&[u32]],
        rows: Vec<Vec<Vec<f32>>>,
        kind: &str,
    ) -> Result<ExitCode> {
        // Tokens that stand for no text have a name.
        let piece = |id: &u32| match tokenizer.piece_bytes(*id) {
            bytes if bytes.is_empty() => tokenizer.piece(*id).unwrap_or_default().trim().to_owned(),
            bytes => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let pieces: Vec<Vec<String>> = ids.iter().map(|ids| ids.iter().map(piece).collect()).collect();
        if self.json {
            let dimensions = rows.first().and_then(|rows| rows.first()).map_or(0, Vec::len);
            let n: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
            return self.print_object(&json!({
                "model": self.model,
                "dimensions": dimensions,
                "kind": kind,
                "vectors": rows,
                "tokens": n,
                "ids": ids,
                "pieces": pieces,
            }));
        }
        let pieces: Vec<String> = pieces.into_iter().flatten().collect();
        let vectors: Vec<Vec<f32>> = rows.into_iter().flatten().collect();
        match &self.plot {
            Some(output) => {
                let title = format!("{} tokens by {} ({kind})", vectors.len(), self.model);
                self.report_plot(plot::draw(&title, &pieces, &vectors, output)?)
            }
            None => self.print_vectors(&vectors, &pieces),
        }
    }

    fn report_plot(&self, drawn: serde_json::Value) -> Result<ExitCode> {
        match self.json {
            true => common::print_json(&drawn)?,
            false => eprintln!("wrote {}", drawn["output"].as_str().unwrap_or_default()),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One row per vector, with a name before it where there are names.
    fn print_vectors(&self, vectors: &[Vec<f32>], names: &[String]) -> Result<ExitCode> {
        let width = vectors.first().map_or(0, Vec::len);
        let bytes = if self.format == Format::Npy {
            let values: Vec<f32> = vectors.iter().flatten().copied().collect();
            Array::f32(&[vectors.len(), width], &values).npy()
        } else {
            let separator = if self.format == Format::Csv { "," } else { " " };
            let mut text = String::new();
            for (i, vector) in vectors.iter().enumerate() {
                let name = names.get(i).map(|name| match self.format {
                    Format::Csv => format!("\"{}\"", name.replace('"', "\"\"")),
                    _ => format!("{name:?}"),
                });
                let numbers = vector.iter().map(f32::to_string);
                text += &name.into_iter().chain(numbers).collect::<Vec<_>>().join(separator);
                text.push('\n');
            }
            text.into_bytes()
        };
        match &self.output {
            Some(output) => {
                common::write_whole(output, &bytes)?;
                eprintln!("wrote {} vectors of {width} numbers to {}", vectors.len(), output.display());
            }
            None => common::print(&String::from_utf8_lossy(&bytes))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_object(&self, object: &serde_json::Value) -> Result<ExitCode> {
        match &self.output {
            Some(output) => {
                let text = serde_json::to_string_pretty(object).unwrap_or_default();
                common::write_whole(output, text.as_bytes())?;
            }
            None => common::print_json(object)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn inputs(&self, tokenizer: &Tokenizer, texts: &[String]) -> Result<Vec<EncoderInput>> {
        let most = self.truncate.unwrap_or(usize::MAX);
        texts.iter().map(|text| input(tokenizer, text, most)).collect()
    }
}

/// The cosines between all vectors.
pub fn cosines(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    vectors.iter().map(|a| vectors.iter().map(|b| cosine(a, b)).collect()).collect()
}

/// An encoder, its tokenizer and where it lies.
pub fn open(
    model: &str,
    device: &DeviceArgs,
    load: &LoadArgs,
    exact: bool,
) -> Result<(Encoder, Arc<Tokenizer>, PathBuf)> {
    let path = common::resolve(model)?;
    let gpu = device.open()?;
    let (model, _) = common::load(&gpu, &path, &load.options())?;
    let tokenizer = model.tokenizer()?.clone();
    Ok((Encoder::new(model, exact)?, tokenizer, path))
}

/// A text as an encoder takes it, with the model's special tokens, cut off after `most` tokens.
pub fn input(tokenizer: &Tokenizer, text: &str, most: usize) -> Result<EncoderInput> {
    let mut ids = tokenizer.encode(text, Encode { special: true, bos: None, eos: None })?;
    if ids.len() > most && most > 0 {
        // The last token closes the text.
        let last = ids[ids.len() - 1];
        ids.truncate(most);
        ids[most - 1] = last;
    }
    Ok(EncoderInput { ids, ..EncoderInput::default() })
}

/// What the model's files say of pooling, in the layout of sentence-transformers.
pub fn pooling_of(path: &Path) -> Pooling {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let Ok(text) = std::fs::read_to_string(folder.join("1_Pooling/config.json")) else {
        return Pooling::Mean;
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match json {
        json if json["pooling_mode_cls_token"] == true => Pooling::First,
        json if json["pooling_mode_lasttoken"] == true => Pooling::Last,
        _ => Pooling::Mean,
    }
}
