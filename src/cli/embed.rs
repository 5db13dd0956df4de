//! `aquatint embed`: vectors of sentences and tokens.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::{self, DeviceArgs, LoadArgs};
use super::csv;
use crate::engine::{Encoder, EncoderInput, Pooling, cosine};
use crate::error::{Error, Result};
use crate::text::{Encode, Tokenizer};

/// Vectors of sentences by an encoder, in batches without padding. Nothing is cut off unless asked.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint embed \"The cat sits on the mat.\" \"A feline rests on a rug.\" --similarity
  aquatint embed --file sentences.txt --format csv > vectors.csv
  aquatint embed --evaluate stsb-en-test.csv

JSON: {model, dimensions, vectors: [[...]], tokens: [n, ...]}; with --similarity also similarity: [[...]];
with --tokens vectors is one list of vectors per text; with --evaluate {pairs, spearman, sentences_per_second}")]
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
    /// Cosines between all texts.
    #[arg(long)]
    similarity: bool,
    /// Cuts texts off after this many tokens.
    #[arg(long, value_name = "N")]
    truncate: Option<usize>,
    /// Spearman's correlation with the scores in the last column of a CSV file of sentence pairs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "tokens", "similarity"])]
    evaluate: Option<PathBuf>,
    /// Prints vectors as lines of numbers.
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
}

impl Embed {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut encoder, tokenizer, path) = open(&self.model, &self.device, &self.load, self.exact)?;
        let pooling = match self.pooling {
            Some(PoolingArg::Mean) => Pooling::Mean,
            Some(PoolingArg::Cls) => Pooling::First,
            Some(PoolingArg::Last) => Pooling::Last,
            None => pooling_of(&path),
        };
        if let Some(file) = &self.evaluate {
            return self.run_evaluation(&mut encoder, &tokenizer, pooling, file);
        }
        let mut texts = self.texts.clone();
        if let Some(file) = &self.file {
            texts.extend(common::text_or_file(None, Some(file))?.lines().map(str::to_owned));
        }
        if texts.is_empty() {
            return Err(Error::Input("give a text, or --file FILE with one text per line".into()));
        }
        let inputs = self.inputs(&tokenizer, &texts)?;
        let encoded = encoder.encode(&inputs)?;
        if self.tokens {
            let all: Vec<&Vec<Vec<f32>>> = encoded.iter().map(|e| &e.hidden).collect();
            if self.json {
                let n: Vec<usize> = inputs.iter().map(|input| input.ids.len()).collect();
                common::print_json(&json!({ "model": self.model, "vectors": all, "tokens": n }))?;
            } else {
                for (input, rows) in inputs.iter().zip(all) {
                    for (&id, row) in input.ids.iter().zip(rows) {
                        let piece = tokenizer.piece(id).unwrap_or("");
                        common::print_line(&format!("{piece:?} {}", self.line(row)))?;
                    }
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let vectors: Vec<Vec<f32>> = encoded.iter().map(|e| e.pool(pooling, !self.no_normalise)).collect();
        let cosines: Vec<Vec<f64>> = match self.similarity {
            true => vectors.iter().map(|a| vectors.iter().map(|b| cosine(a, b)).collect()).collect(),
            false => Vec::new(),
        };
        if self.json {
            let n: Vec<usize> = inputs.iter().map(|input| input.ids.len()).collect();
            let mut object = json!({
                "model": self.model,
                "dimensions": vectors[0].len(),
                "vectors": vectors,
                "tokens": n,
            });
            if self.similarity {
                object["similarity"] = json!(cosines);
            }
            common::print_json(&object)?;
        } else if self.similarity {
            for (text, row) in texts.iter().zip(&cosines) {
                let row: Vec<String> = row.iter().map(|v| format!("{v:7.4}")).collect();
                common::print_line(&format!("{}  {text}", row.join(" ")))?;
            }
        } else {
            for vector in &vectors {
                common::print_line(&self.line(vector))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn line(&self, vector: &[f32]) -> String {
        let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
        numbers.join(if self.format == Format::Csv { "," } else { " " })
    }

    fn inputs(&self, tokenizer: &Tokenizer, texts: &[String]) -> Result<Vec<EncoderInput>> {
        let most = self.truncate.unwrap_or(usize::MAX);
        texts.iter().map(|text| input(tokenizer, text, most)).collect()
    }

    fn run_evaluation(
        &self,
        encoder: &mut Encoder,
        tokenizer: &Tokenizer,
        pooling: Pooling,
        file: &Path,
    ) -> Result<ExitCode> {
        let text = common::text_or_file(None, Some(file))?;
        let (mut texts, mut scores) = (Vec::new(), Vec::new());
        for (i, (line, fields)) in csv::records(&text).into_iter().enumerate() {
            let score = fields.last().and_then(|field| field.trim().parse::<f64>().ok());
            match (score, fields.len() >= 3) {
                (Some(score), true) => {
                    texts.push(fields[fields.len() - 3].clone());
                    texts.push(fields[fields.len() - 2].clone());
                    scores.push(score);
                }
                // A first line may name the columns.
                _ if i == 0 => {}
                _ => {
                    return Err(Error::file(
                        file.display(),
                        format!(
                            "line {line}: expected sentence, sentence, score; found {}",
                            fields.join(",")
                        ),
                    ));
                }
            }
        }
        let inputs = self.inputs(tokenizer, &texts)?;
        // Texts of a like length share a pass.
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&i| inputs[i].ids.len());
        let sorted: Vec<EncoderInput> = order.iter().map(|&i| inputs[i].clone()).collect();
        let start = Instant::now();
        let mut vectors = vec![Vec::new(); inputs.len()];
        for (places, batch) in order.chunks(64).zip(sorted.chunks(64)) {
            for (&place, encoded) in places.iter().zip(encoder.encode(batch)?) {
                vectors[place] = encoded.pool(pooling, true);
            }
        }
        let per_second = inputs.len() as f64 / start.elapsed().as_secs_f64();
        let cosines: Vec<f64> = vectors.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect();
        let spearman = pearson(&ranks(&cosines), &ranks(&scores));
        if self.json {
            common::print_json(
                &json!({ "pairs": scores.len(), "spearman": spearman, "sentences_per_second": per_second }),
            )?;
        } else {
            common::print_line(&format!(
                "{} pairs  Spearman {spearman:.4}  {per_second:.1} sentences/s",
                scores.len()
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
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
fn pooling_of(path: &Path) -> Pooling {
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

/// Ranks from 1, the mean rank for equal values.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        for &i in &order[start..start + same] {
            ranks[i] = start as f64 + (same as f64 + 1.0) / 2.0;
        }
        start += same;
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let dot = |x: &[f64], mx: f64, y: &[f64], my: f64| {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
    };
    dot(a, mean_a, b, mean_b) / (dot(a, mean_a, a, mean_a) * dot(b, mean_b, b, mean_b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_equal_values_are_shared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }
}
