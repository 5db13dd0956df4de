//! `aquatint audit bias`: preference for stereotypes, by pairs of sentences.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::common::{self, DeviceArgs, EngineArgs};
use crate::cli::{csv, embed, heads};
use crate::error::{Error, Result};
use crate::model::{OutputHead, describe};
use crate::text::Encode;
use crate::weights::Weights;

/// How often a model finds the more stereotyping sentence of a pair likelier, by category, with 95 %
/// confidence intervals (Wilson). 50 % is no preference.
///
/// A model that goes on with texts is asked for the likelihood of each sentence; one that fills masks for
/// that of the words which both sentences share, each masked in turn. Source of the measure and of the
/// file's layout: Nangia et al. 2020, arXiv:2010.00133.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint audit bias smollm2-135m --pairs crows_pairs_anonymized.csv --limit 100
  aquatint audit bias ./bert-base-uncased --pairs crows_pairs_anonymized.csv

JSON: {measure: likelihood|pseudo-likelihood, pairs, more, share, interval: [low, high],
       categories: {NAME: {pairs, more, share, interval}}, first: [more, less]}")]
pub struct Bias {
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
    pub fn run(&self) -> Result<ExitCode> {
        let mut pairs = read_pairs(&self.pairs)?;
        pairs.truncate(self.limit.unwrap_or(usize::MAX));
        let masked = self.is_masked()?;
        let mut likelihoods: Box<Likelihoods> = if masked { self.by_masks()? } else { self.causal()? };
        let bar = ProgressBar::new(pairs.len() as u64);
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut first = None;
        for pair in &pairs {
            let (more, less) = likelihoods(pair)?;
            bar.inc(1);
            first.get_or_insert((more, less));
            let entry = counts.entry(&pair.category).or_default();
            entry.0 += 1;
            entry.1 += usize::from(more > less);
        }
        bar.finish_and_clear();
        let measure = if masked { "pseudo-likelihood" } else { "likelihood" };
        let total = counts.values().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
        if self.json {
            let categories: BTreeMap<&str, Value> =
                counts.iter().map(|(name, c)| (*name, share_json(*c))).collect();
            let mut object = json!({ "measure": measure });
            if let (Value::Object(object), Value::Object(share)) = (&mut object, share_json(total)) {
                object.extend(share);
            }
            object["categories"] = json!(categories);
            object["first"] = json!(first.map(|(more, less)| [more, less]));
            common::print_json(&object)?;
        } else {
            for (name, c) in &counts {
                common::print_line(&share_line(name, *c))?;
            }
            common::print_line(&share_line("all", total))?;
            if let Some((more, less)) = first {
                eprintln!("{measure} in nats of the first pair: {more:.3} and {less:.3}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The log-likelihoods of a pair: (more, less).
type Likelihoods = dyn FnMut(&Pair) -> Result<(f64, f64)>;

impl Bias {
    fn is_masked(&self) -> Result<bool> {
        let (_, decoder) = describe(&Weights::open(common::resolve(&self.model)?)?)?;
        Ok(decoder.bidirectional)
    }

    fn causal(&self) -> Result<Box<Likelihoods>> {
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        Ok(Box::new(move |pair| {
            let mut likelihood = |text: &str| -> Result<f64> {
                let ids = tokenizer.encode(text, Encode { special: false, bos: None, eos: Some(false) })?;
                Ok(-engine.nll(&ids)?.iter().map(|&v| f64::from(v)).sum::<f64>())
            };
            Ok((likelihood(&pair.more)?, likelihood(&pair.less)?))
        }))
    }

    fn by_masks(&self) -> Result<Box<Likelihoods>> {
        let (mut encoder, tokenizer, _) = embed::open(&self.model, &self.device, &self.engine.load, true)?;
        if !matches!(encoder.model().tensors.head, OutputHead::Masked { .. }) {
            return Err(heads::wrong_head(&encoder, "fills masks or goes on with texts"));
        }
        let mask =
            tokenizer.mask().ok_or_else(|| Error::Text("the model's tokenizer has no mask token".into()))?;
        Ok(Box::new(move |pair| {
            let ids = |text: &str| embed::input(&tokenizer, text, usize::MAX).map(|input| input.ids);
            let (more, less) = (ids(&pair.more)?, ids(&pair.less)?);
            // What both share, less the tokens that open and close every text.
            let shared: Vec<(usize, usize)> =
                shared(&more, &less).into_iter().filter(|&(i, _)| !tokenizer.is_special(more[i])).collect();
            let (a, b): (Vec<usize>, Vec<usize>) = shared.into_iter().unzip();
            let mut sum = |ids: &[u32], places: &[usize]| -> Result<f64> {
                Ok(encoder.masked_log_likelihoods(ids, places, mask)?.iter().sum())
            };
            Ok((sum(&more, &a)?, sum(&less, &b)?))
        }))
    }
}

/// The places of tokens that two sentences share: the longest common run, then the same before and behind
/// it, as Python's `difflib` has them, which the published scores were made with.
fn shared(a: &[u32], b: &[u32]) -> Vec<(usize, usize)> {
    let mut best = (0, 0, 0);
    // Lengths of common runs that end at a[i] and each b[j].
    let mut lengths = vec![0usize; b.len() + 1];
    for (i, id) in a.iter().enumerate() {
        let mut next = vec![0usize; b.len() + 1];
        for j in (0..b.len()).filter(|&j| b[j] == *id) {
            next[j + 1] = lengths[j] + 1;
            if next[j + 1] > best.2 {
                best = (i + 1 - next[j + 1], j + 1 - next[j + 1], next[j + 1]);
            }
        }
        lengths = next;
    }
    let (i, j, n) = best;
    if n == 0 {
        return Vec::new();
    }
    let mut places = shared(&a[..i], &b[..j]);
    places.extend((0..n).map(|k| (i + k, j + k)));
    places.extend(shared(&a[i + n..], &b[j + n..]).into_iter().map(|(x, y)| (x + i + n, y + j + n)));
    places
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let (low, high) = wilson(100, 55);
        assert!((low - 0.4524).abs() < 1e-3 && (high - 0.6439).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn what_two_sentences_share() {
        // difflib.SequenceMatcher(None, a, b).get_matching_blocks() of the same lists.
        assert_eq!(shared(&[1, 7, 2, 3, 4], &[1, 8, 9, 2, 3, 5, 4]), [(0, 0), (2, 3), (3, 4), (4, 6)]);
        assert_eq!(shared(&[1, 2, 1, 2], &[2, 1, 2, 3]), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(shared(&[1], &[2]), []);
    }
}
