//! `aquatint vectors evaluate`: word vectors on files of analogies and of judged pairs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::Result;
use crate::vectors::{
    Analogies, Correlation, EvaluateOptions, Pairs, Section, VectorTable, WordVectors, evaluate_analogies,
    evaluate_pairs, is_analogies,
};

/// Asks the questions of test files: analogies (questions-words.txt) and judged pairs (wordsim353.tsv).
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint vectors evaluate vectors.bin questions-words.txt
  aquatint vectors evaluate vectors.bin wordsim353.tsv simlex999.txt --json
  aquatint vectors evaluate vectors.bin questions-words.txt --restrict-vocab 30000 --unknown-is-wrong

A file with lines \": SECTION\" holds analogies, lines of four words; the answer to a : b = c : ? is the word
nearest to b - a + c. Another file holds pairs: two words and a number. Counted as gensim counts.

JSON: {tests: [{file, sections: [{name, right, asked, accuracy}], right, asked, accuracy, unknown,
questions, seconds, questions_per_second} or {file, spearman: {value, p}, pearson: {value, p}, pairs,
unknown, unknown_percent}]}")]
pub struct Evaluate {
    file: PathBuf,
    /// Files of analogies or pairs.
    #[arg(required = true)]
    tests: Vec<PathBuf>,
    /// Only the first words of the file are known and searched.
    #[arg(long, default_value_t = EvaluateOptions::default().restrict_vocab, value_name = "N")]
    restrict_vocab: usize,
    /// King and king are two words.
    #[arg(long)]
    case_sensitive: bool,
    /// Questions with unknown words count as wrong, pairs as similar by 0 (gensim's dummy4unknown).
    #[arg(long, alias = "dummy4unknown")]
    unknown_is_wrong: bool,
    /// Between the fields of a pair [default: a tab].
    #[arg(long, value_name = "TEXT", default_value = "\t", hide_default_value = true)]
    delimiter: String,
}

impl Evaluate {
    pub fn run(&self, device: &DeviceArgs, is_json: bool) -> Result<ExitCode> {
        let options = EvaluateOptions {
            restrict_vocab: self.restrict_vocab,
            ignore_case: !self.case_sensitive,
            unknown_is_wrong: self.unknown_is_wrong,
            delimiter: self.delimiter.clone(),
        };
        let texts = self.tests.iter().map(|test| common::text_or_file(None, Some(test)));
        let texts = texts.collect::<Result<Vec<String>>>()?;
        let vectors = WordVectors::read(&self.file)?;
        let gpu = device.open()?;
        let mut table = VectorTable::new(&gpu, vectors)?;
        let mut tests = Vec::new();
        for (test, text) in self.tests.iter().zip(&texts) {
            let file = test.display().to_string();
            if is_analogies(text) {
                let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
                let start = Instant::now();
                let result = evaluate_analogies(&mut table, text, &file, &options, |done, of| {
                    bar.set_length(of as u64);
                    bar.set_position(done as u64);
                });
                let seconds = start.elapsed().as_secs_f64();
                bar.finish_and_clear();
                let result = result?;
                tests.push(analogies_json(&file, &result, seconds));
                if !is_json {
                    print_analogies(&file, &result, seconds)?;
                }
            } else {
                let result = evaluate_pairs(&table, text, &file, &options)?;
                tests.push(pairs_json(&file, &result));
                if !is_json {
                    print_pairs(&file, &result)?;
                }
            }
        }
        gpu.save_pipeline_cache()?;
        if is_json {
            common::print_json(&json!({ "tests": tests }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_analogies(file: &str, result: &Analogies, seconds: f64) -> Result<()> {
    common::print_line(&format!("{file}: analogies"))?;
    for section in result.sections.iter().chain([&result.total]) {
        let percent = match section.n {
            0 => "     -".to_owned(),
            _ => format!("{:5.1}%", 100.0 * section.accuracy()),
        };
        let counts = format!("{}/{}", section.n_right, section.n);
        common::print_line(&format!("  {percent}  {counts:>12}  {}", section.name))?;
    }
    let asked = result.n_questions - result.n_unknown;
    common::print_line(&format!(
        "  {:.1}% of {} questions have unknown words; {asked} asked in {seconds:.1} s, {:.0} a second",
        100.0 * result.n_unknown as f64 / result.n_questions as f64,
        result.n_questions,
        asked as f64 / seconds.max(1e-9)
    ))
}

fn print_pairs(file: &str, result: &Pairs) -> Result<()> {
    common::print_line(&format!(
        "{file}: {} pairs\n  Spearman {:.4} (p {:.2e})\n  Pearson  {:.4} (p {:.2e})\n  {:.1}% have unknown words",
        result.n,
        result.spearman.value,
        result.spearman.p,
        result.pearson.value,
        result.pearson.p,
        result.unknown_percent
    ))
}

fn analogies_json(file: &str, result: &Analogies, seconds: f64) -> Value {
    let section = |section: &Section| {
        json!({
            "name": section.name,
            "right": section.n_right,
            "asked": section.n,
            "accuracy": section.accuracy(),
        })
    };
    let asked = result.n_questions - result.n_unknown;
    json!({
        "file": file,
        "sections": result.sections.iter().map(section).collect::<Vec<_>>(),
        "right": result.total.n_right,
        "asked": result.total.n,
        "accuracy": result.total.accuracy(),
        "unknown": result.n_unknown,
        "questions": result.n_questions,
        "seconds": seconds,
        "questions_per_second": asked as f64 / seconds.max(1e-9),
    })
}

fn pairs_json(file: &str, result: &Pairs) -> Value {
    let correlation = |c: Correlation| json!({ "value": c.value, "p": c.p });
    json!({
        "file": file,
        "spearman": correlation(result.spearman),
        "pearson": correlation(result.pearson),
        "pairs": result.n,
        "unknown": result.n_unknown,
        "unknown_percent": result.unknown_percent,
    })
}
