//! `aquatint bow`: texts as bags of words.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common;
use crate::error::{Error, Result};
use crate::vectors::{Bow, Units, cosine};
use crate::weights::Weights;

/// Counts the words of texts. Each file is a document; --lines makes each line one. Needs no GPU.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint bow a.txt b.txt --similarity
  printf 'the cat chases the dog\\nthe dog chases the cat\\n' | aquatint bow - --lines --similarity
  aquatint bow --lines reviews.txt --tf-idf --format csv > matrix.csv

JSON: {vocabulary: [text], rows: [[[unit, value], ...]], similarity: [[...]] with --similarity}")]
pub struct BagOfWords {
    /// Files; - for stdin.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Each line is a document.
    #[arg(long)]
    lines: bool,
    /// Also sequences of up to N words.
    #[arg(long, default_value_t = 1, value_name = "N")]
    ngrams: usize,
    /// Counts the tokens of a model instead of words.
    #[arg(long, value_name = "MODEL")]
    tokenizer: Option<String>,
    /// Leaves out units that stand in fewer documents.
    #[arg(long, default_value_t = 1, value_name = "N")]
    min_documents: usize,
    /// Weighs counts by how rare a unit is.
    #[arg(long)]
    tf_idf: bool,
    /// Cosines between all documents.
    #[arg(long)]
    similarity: bool,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The commonest units.
    Text,
    /// The whole matrix, a row per document.
    Csv,
}

impl BagOfWords {
    pub fn run(&self) -> Result<ExitCode> {
        let documents = self.documents()?;
        let tokenizer = match &self.tokenizer {
            Some(model) => Some(crate::model::tokenizer(&Weights::open(common::resolve(model)?)?)?),
            None => None,
        };
        let units = match &tokenizer {
            Some(tokenizer) => Units::Tokens(tokenizer),
            None => Units::Words { n: self.ngrams },
        };
        let bow = Bow::count(&documents, &units, self.min_documents)?;
        let rows = if self.tf_idf { bow.tf_idf() } else { bow.plain() };
        let cosines: Vec<Vec<f64>> = match self.similarity {
            true => rows.iter().map(|a| rows.iter().map(|b| cosine(a, b)).collect()).collect(),
            false => Vec::new(),
        };
        if self.json {
            let mut object = json!({ "vocabulary": bow.vocabulary, "rows": rows });
            if self.similarity {
                object["similarity"] = json!(cosines);
            }
            common::print_json(&object)?;
        } else if self.similarity {
            for row in &cosines {
                let row: Vec<String> = row.iter().map(|v| format!("{v:7.4}")).collect();
                common::print_line(&row.join(" "))?;
            }
        } else if self.format == Format::Csv {
            let quoted = |unit: &String| format!("\"{}\"", unit.replace('"', "\"\""));
            common::print_line(&bow.vocabulary.iter().map(quoted).collect::<Vec<_>>().join(","))?;
            for row in &rows {
                let mut dense = vec![0.0; bow.vocabulary.len()];
                row.iter().for_each(|&(unit, value)| dense[unit] = value);
                common::print_line(&dense.iter().map(f64::to_string).collect::<Vec<_>>().join(","))?;
            }
        } else {
            let mut totals = vec![0.0; bow.vocabulary.len()];
            rows.iter().flatten().for_each(|&(unit, value)| totals[unit] += value);
            let mut order: Vec<usize> = (0..totals.len()).collect();
            order.sort_by(|&a, &b| totals[b].total_cmp(&totals[a]).then(a.cmp(&b)));
            for &unit in order.iter().take(30) {
                common::print_line(&format!("{:>10.2}  {}", totals[unit], bow.vocabulary[unit]))?;
            }
            eprintln!("{} documents, {} units", documents.len(), bow.vocabulary.len());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn documents(&self) -> Result<Vec<String>> {
        let mut documents = Vec::new();
        for file in &self.files {
            let text = match file.as_os_str() == "-" {
                true => common::text_or_file(Some("-"), None)?,
                false => common::text_or_file(None, Some(file))?,
            };
            match self.lines {
                true => {
                    documents.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned))
                }
                false => documents.push(text),
            }
        }
        if documents.is_empty() {
            return Err(Error::Input("there is no document: the input is empty".into()));
        }
        Ok(documents)
    }
}
