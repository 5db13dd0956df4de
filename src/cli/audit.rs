//! `aquatint audit`: measures of bias and provenance.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use super::csv;
use crate::error::{Error, Result};
use crate::text::Encode;

/// Measures of bias in a model, and of where a text comes from.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How often a model finds the more stereotyping sentence of a pair likelier.
    Bias(Bias),
    /// The longest runs of words of a text that stand word for word in other texts.
    Overlap(Overlap),
}

impl Audit {
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Bias(command) => command.run(),
            Command::Overlap(command) => command.run(),
        }
    }
}

/// How often a causal model finds the more stereotyping sentence of a pair likelier, by category, with
/// 95 % confidence intervals (Wilson). 50 % is no preference.
///
/// Source of the measure and of the file's layout: Nangia et al. 2020, arXiv:2010.00133.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint audit bias smollm2-135m --pairs crows_pairs_anonymized.csv --limit 100

JSON: {pairs, more, share, interval: [low, high],
       categories: {NAME: {pairs, more, share, interval}}, first: [more, less]}")]
struct Bias {
    /// Model by name or path.
    model: String,
    /// A CSV file with the columns sent_more, sent_less and bias_type.
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Only the first N pairs.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// A pair of sentences.
struct Pair {
    more: String,
    less: String,
    category: String,
}

impl Bias {
    fn run(&self) -> Result<ExitCode> {
        let mut pairs = read_pairs(&self.pairs)?;
        pairs.truncate(self.limit.unwrap_or(usize::MAX));
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let mut likelihood = |text: &str| -> Result<f64> {
            let ids = tokenizer.encode(text, Encode { special: false, bos: None, eos: Some(false) })?;
            Ok(-engine.nll(&ids)?.iter().map(|&v| f64::from(v)).sum::<f64>())
        };
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut first = None;
        for pair in &pairs {
            let (more, less) = (likelihood(&pair.more)?, likelihood(&pair.less)?);
            first.get_or_insert((more, less));
            let entry = counts.entry(&pair.category).or_default();
            entry.0 += 1;
            entry.1 += usize::from(more > less);
        }
        let total = counts.values().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
        if self.json {
            let categories: BTreeMap<&str, Value> =
                counts.iter().map(|(name, c)| (*name, share_json(*c))).collect();
            let mut object = share_json(total);
            object["categories"] = json!(categories);
            object["first"] = json!(first.map(|(more, less)| [more, less]));
            common::print_json(&object)?;
        } else {
            for (name, c) in &counts {
                common::print_line(&share_line(name, *c))?;
            }
            common::print_line(&share_line("all", total))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn share_json((n, more): (usize, usize)) -> Value {
    let interval = wilson(n, more);
    json!({ "pairs": n, "more": more, "share": more as f64 / n.max(1) as f64, "interval": [interval.0, interval.1] })
}

fn share_line(name: &str, (n, more): (usize, usize)) -> String {
    let (low, high) = wilson(n, more);
    let share = 100.0 * more as f64 / n.max(1) as f64;
    format!("{name:<24} {more:>5} of {n:<5} {share:>5.1} %  ({:.1} to {:.1})", 100.0 * low, 100.0 * high)
}

/// The 95 % score interval of a share (Wilson 1927).
fn wilson(n: usize, hits: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (n as f64, 1.959_963_985);
    let p = hits as f64 / n;
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    ((centre - half) / scale, (centre + half) / scale)
}

fn read_pairs(path: &Path) -> Result<Vec<Pair>> {
    let text = common::text_or_file(None, Some(path))?;
    let mut records = csv::records(&text).into_iter();
    let names = records.next().unwrap_or_default().1;
    let column = |name: &str| {
        names.iter().position(|n| n == name).ok_or_else(|| {
            Error::file(path.display(), format!("expected a column {name}, found {}", names.join(", ")))
        })
    };
    let (more, less, category) = (column("sent_more")?, column("sent_less")?, column("bias_type")?);
    let mut pairs = Vec::new();
    for (line, fields) in records {
        let field = |at: usize| fields.get(at).filter(|f| !f.is_empty()).cloned();
        match (field(more), field(less), field(category)) {
            (Some(more), Some(less), Some(category)) => pairs.push(Pair { more, less, category }),
            _ => {
                let message = format!("line {line}: expected {} fields, found {}", names.len(), fields.len());
                return Err(Error::file(path.display(), message));
            }
        }
    }
    if pairs.is_empty() {
        return Err(Error::file(path.display(), "has no pairs"));
    }
    Ok(pairs)
}

/// The longest runs of words of a text that stand word for word in other texts.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint run --raw \"To be\" > out.txt; aquatint audit overlap out.txt --corpus shakespeare.txt

JSON: {words, runs: [{words, start, text, file, place}]}; start counts words of the text, place bytes of the file")]
struct Overlap {
    /// A file with the text; - for stdin.
    text: PathBuf,
    /// Files to look in.
    #[arg(long, required = true, num_args = 1..)]
    corpus: Vec<PathBuf>,
    /// Words of a run at least.
    #[arg(long, default_value_t = 5, value_name = "N")]
    min_words: usize,
    #[arg(long)]
    json: bool,
}

/// A run of words that two texts share.
struct Run {
    start: usize,
    n_words: usize,
    file: usize,
    place: usize,
}

impl Overlap {
    fn run(&self) -> Result<ExitCode> {
        let text = match self.text.as_os_str() == "-" {
            true => common::text_or_file(Some("-"), None)?,
            false => common::text_or_file(None, Some(&self.text))?,
        };
        let own = words(&text);
        let n = self.min_words.max(1);
        let mut best: Vec<Option<Run>> = (0..own.len()).map(|_| None).collect();
        // Every run of n words of the text, looked for in one walk over each file.
        let mut starts: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
        for (i, run) in own.windows(n).enumerate() {
            starts.entry(run.iter().map(|w| w.0.as_str()).collect()).or_default().push(i);
        }
        for (file, path) in self.corpus.iter().enumerate() {
            let other_text = common::text_or_file(None, Some(path))?;
            let other = words(&other_text);
            for at in 0..other.len().saturating_sub(n - 1) {
                let key: Vec<&str> = other[at..at + n].iter().map(|w| w.0.as_str()).collect();
                for &i in starts.get(&key).map_or(&[][..], |list| list) {
                    let same = own[i..].iter().zip(&other[at..]).take_while(|(a, b)| a.0 == b.0).count();
                    if best[i].as_ref().is_none_or(|run| run.n_words < same) {
                        best[i] = Some(Run { start: i, n_words: same, file, place: other[at].1 });
                    }
                }
            }
        }
        // A run inside a longer one says nothing new.
        let mut end = 0;
        let mut runs: Vec<Run> = Vec::new();
        for run in best.into_iter().flatten() {
            if run.start + run.n_words > end {
                end = run.start + run.n_words;
                runs.push(run);
            }
        }
        runs.sort_by_key(|run| (std::cmp::Reverse(run.n_words), run.start));
        let piece = |run: &Run| {
            let last = &own[run.start + run.n_words - 1];
            text.get(own[run.start].1..last.1 + last.0.len()).unwrap_or_default().to_owned()
        };
        if self.json {
            let list: Vec<Value> = runs
                .iter()
                .map(|run| {
                    json!({
                        "words": run.n_words, "start": run.start, "text": piece(run),
                        "file": self.corpus[run.file], "place": run.place,
                    })
                })
                .collect();
            common::print_json(&json!({ "words": own.len(), "runs": list }))?;
        } else {
            for run in runs.iter().take(20) {
                common::print_line(&format!(
                    "{:>4} words at word {:<6} {} byte {}: {:?}",
                    run.n_words,
                    run.start,
                    self.corpus[run.file].display(),
                    run.place,
                    piece(run)
                ))?;
            }
            eprintln!("{} words, {} runs of {n} words or more", own.len(), runs.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The words of a text in lower case, and the byte that each begins at.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphanumeric(), start) {
            (true, None) => start = Some(i),
            (false, Some(first)) => {
                words.push((text[first..i].to_lowercase(), first));
                start = None;
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_and_words() {
        let (low, high) = wilson(100, 55);
        assert!((low - 0.4524).abs() < 1e-3 && (high - 0.6439).abs() < 1e-3, "{low} {high}");
        assert_eq!(words("To be, or"), [("to".into(), 0), ("be".into(), 3), ("or".into(), 7)]);
    }
}
