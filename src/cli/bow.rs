//! `aquatint bow`: texts as bags of words.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::common::{self, DeviceArgs, LoadArgs};
use super::embed;
use crate::error::{Error, Result};
use crate::vectors::{Bow, Units, cosine, sparse_npz};

/// Counts the words of texts. Each file is a document; --lines makes each line one. Needs no GPU, but for
/// --compare.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint bow a.txt b.txt --similarity
  printf 'the cat chases the dog\\nthe dog chases the cat\\n' | aquatint bow - --lines --similarity
  printf 'the cat chases the dog\\nthe dog chases the cat\\n' | aquatint bow - --lines --compare all-minilm-l6-v2
  aquatint bow --lines reviews.txt --tf-idf --format csv > matrix.csv
  aquatint bow --lines reviews.txt --ngrams 2 --format npz -o matrix.npz

JSON: {documents, vocabulary: [text], rows: [[[unit, value], ...]], similarity: [[...]] with --similarity and
--compare, sentence_similarity: [[...]] with --compare}. An npz file is what scipy.sparse.load_npz reads; its
array \"vocabulary\" names the columns")]
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
    /// Cosines of the bags beside those of an encoder's sentence vectors, which see the order of words.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["similarity", "format", "output"])]
    compare: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Writes to a file instead of stdout.
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The commonest units.
    Text,
    /// The whole matrix, a row per document.
    Csv,
    /// The matrix as scipy's sparse file; needs -o.
    Npz,
    /// The vocabulary and how often each unit comes and in how many documents.
    Vocabulary,
}

impl BagOfWords {
    pub fn run(&self) -> Result<ExitCode> {
        if self.format == Format::Npz && self.output.is_none() {
            return Err(Error::Input("--format npz writes bytes: give a file with -o FILE.npz".into()));
        }
        let documents = self.documents()?;
        let tokenizer = match &self.tokenizer {
            Some(model) => Some(crate::model::open_tokenizer(&common::resolve(model)?)?),
            None => None,
        };
        let units = match &tokenizer {
            Some(tokenizer) => Units::Tokens(tokenizer),
            None => Units::Words { n: self.ngrams },
        };
        let bow = Bow::count(&documents, &units, self.min_documents)?;
        let rows = if self.tf_idf { bow.tf_idf() } else { bow.plain() };
        let cosines: Vec<Vec<f64>> = match self.similarity || self.compare.is_some() {
            true => rows.iter().map(|a| rows.iter().map(|b| cosine(a, b)).collect()).collect(),
            false => Vec::new(),
        };
        let sentences = self.sentence_cosines(&documents)?;
        if self.json {
            let mut object =
                json!({ "documents": documents.len(), "vocabulary": bow.vocabulary, "rows": rows });
            if !cosines.is_empty() {
                object["similarity"] = json!(cosines);
            }
            if let Some(sentences) = sentences {
                object["sentence_similarity"] = json!(sentences);
            }
            self.write(serde_json::to_string_pretty(&object).unwrap_or_default() + "\n")?;
        } else if let Some(sentences) = sentences {
            common::print(&compared(&documents, &cosines, &sentences))?;
        } else if self.similarity {
            let line = |row: &Vec<f64>| {
                let row: Vec<String> = row.iter().map(|v| format!("{v:7.4}")).collect();
                row.join(" ") + "\n"
            };
            self.write(cosines.iter().map(line).collect())?;
        } else {
            match self.format {
                Format::Csv => self.write(csv(&bow.vocabulary, &rows))?,
                Format::Npz => self.write_bytes(&sparse_npz(&rows, &bow.vocabulary)?)?,
                Format::Vocabulary => self.write(vocabulary(&bow.vocabulary, &rows))?,
                Format::Text => self.print_commonest(&bow, &rows)?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print_commonest(&self, bow: &Bow, rows: &[Vec<(usize, f64)>]) -> Result<()> {
        let mut totals = vec![0.0; bow.vocabulary.len()];
        rows.iter().flatten().for_each(|&(unit, value)| totals[unit] += value);
        let mut order: Vec<usize> = (0..totals.len()).collect();
        order.sort_by(|&a, &b| totals[b].total_cmp(&totals[a]).then(a.cmp(&b)));
        let line = |&unit: &usize| format!("{:>10.2}  {}\n", totals[unit], shown(&bow.vocabulary[unit]));
        self.write(order.iter().take(30).map(line).collect())?;
        eprintln!("{} documents, {} units", rows.len(), bow.vocabulary.len());
        Ok(())
    }

    /// The cosines of an encoder's vectors of the documents, where they are wanted.
    fn sentence_cosines(&self, documents: &[String]) -> Result<Option<Vec<Vec<f64>>>> {
        let Some(model) = &self.compare else { return Ok(None) };
        let (mut encoder, tokenizer, path) =
            embed::open(model, &self.device, &LoadArgs { quantize: None }, false)?;
        let pooling = embed::pooling_of(&path);
        let inputs = documents.iter().map(|text| embed::input(&tokenizer, text, usize::MAX));
        let encoded = encoder.encode(&inputs.collect::<Result<Vec<_>>>()?)?;
        let vectors: Vec<Vec<f32>> = encoded.iter().map(|encoded| encoded.pool(pooling, true)).collect();
        Ok(Some(embed::cosines(&vectors)))
    }

    fn write(&self, text: String) -> Result<()> {
        match &self.output {
            Some(_) => self.write_bytes(text.as_bytes()),
            None => common::print(&text),
        }
    }

    fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        let Some(output) = &self.output else { return Ok(()) };
        common::write_whole(output, bytes)?;
        eprintln!("wrote {}", output.display());
        Ok(())
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
        if documents.iter().all(|document| document.trim().is_empty()) {
            return Err(Error::Input("there is no document: the input is empty".into()));
        }
        Ok(documents)
    }
}

/// The whole matrix, a column per unit.
fn csv(vocabulary: &[String], rows: &[Vec<(usize, f64)>]) -> String {
    let quoted = |unit: &String| format!("\"{}\"", unit.replace('"', "\"\""));
    let mut text = vocabulary.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        let mut dense = vec![0.0; vocabulary.len()];
        row.iter().for_each(|&(unit, value)| dense[unit] = value);
        text += &(dense.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n");
    }
    text
}

/// A line per unit: its number, its sum, its documents, itself.
fn vocabulary(vocabulary: &[String], rows: &[Vec<(usize, f64)>]) -> String {
    let mut sums = vec![(0.0, 0usize); vocabulary.len()];
    for &(unit, value) in rows.iter().flatten() {
        sums[unit] = (sums[unit].0 + value, sums[unit].1 + 1);
    }
    let lines = vocabulary.iter().zip(&sums).enumerate();
    lines.map(|(i, (unit, (sum, n)))| format!("{i}\t{sum}\t{n}\t{}\n", shown(unit))).collect()
}

/// A unit as one line: tokens may hold line ends.
fn shown(unit: &str) -> String {
    if unit.chars().any(char::is_control) { format!("{unit:?}") } else { unit.to_owned() }
}

/// Cosines of bags and of sentence vectors, pair by pair.
fn compared(documents: &[String], bags: &[Vec<f64>], sentences: &[Vec<f64>]) -> String {
    let mut text = "    bag  sentence\n".to_owned();
    let short = |text: &String| -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    };
    for i in 0..documents.len() {
        for j in i + 1..documents.len() {
            text += &format!(
                "{:7.4}   {:7.4}  {:?} and {:?}\n",
                bags[i][j],
                sentences[i][j],
                short(&documents[i]),
                short(&documents[j])
            );
        }
    }
    text
}
