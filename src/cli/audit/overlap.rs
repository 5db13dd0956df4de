//! `aquatint audit overlap`: what a text takes word for word from others.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::common::{self, DeviceArgs, EngineArgs, SamplingArgs};
use crate::cli::run;
use crate::engine::GenerateOptions;
use crate::error::{Error, Result};
use crate::vectors::{Overlap as Search, Run};
use crate::weights::Weights;

/// The longest runs of words of a text that stand word for word in other texts; with a model instead of a
/// text, of what the model generates. Case, line ends and punctuation do not hide a run.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint audit overlap essay.txt --corpus book1.txt book2.txt
  aquatint run --raw \"To be\" | aquatint audit overlap - --corpus shakespeare.txt
  aquatint audit overlap smollm2-135m --prompt \"To be, or not\" --max-tokens 200 --corpus shakespeare.txt

JSON: {words, covered, runs: [{words, start, text, file, place, line}], text with a model}; covered is the
share of words in runs, start counts words of the text, place bytes and line lines of the file")]
pub struct Overlap {
    /// A file with the text (- for stdin), or a model by name or path that generates one.
    #[arg(value_name = "TEXT|MODEL")]
    text: String,
    /// Files to look in.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    corpus: Vec<PathBuf>,
    /// Words of a run at least.
    #[arg(long, default_value_t = 5, value_name = "N")]
    min_words: usize,
    /// How many runs to print.
    #[arg(long, default_value_t = 20, value_name = "N")]
    top: usize,
    /// What a model goes on from.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Tokens that a model generates.
    #[arg(long, short = 'n', default_value_t = 200, value_name = "N")]
    max_tokens: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Overlap {
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(missing) = self.corpus.iter().find(|path| !path.is_file()) {
            return Err(Error::file(missing.display(), "no such file to look in"));
        }
        let generated = self.is_model();
        let text = match (generated, self.text.as_str()) {
            (true, _) => self.generate()?,
            (false, "-") => common::text_or_file(Some("-"), None)?,
            (false, path) => common::text_or_file(None, Some(Path::new(path)))?,
        };
        let mut search = Search::new(&text, self.min_words);
        if search.n_words() == 0 {
            return Err(Error::Input(match generated {
                true => "the model generated no word; give another --prompt or --seed".into(),
                false => format!("{}: the text has no words to look for", self.text),
            }));
        }
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let bar = common::bytes_bar(self.corpus.iter().map(size).sum());
        for (i, path) in self.corpus.iter().enumerate() {
            let other = common::text_or_file(None, Some(path))?;
            search.look_in(i, &other, |n| bar.inc(n as u64));
        }
        bar.finish_and_clear();
        let runs = search.runs();
        let covered = search.n_covered() as f64 / search.n_words() as f64;
        if self.json {
            let list = runs.iter().map(|run| self.run_json(&text, run)).collect::<Result<Vec<Value>>>()?;
            let mut object = json!({ "words": search.n_words(), "covered": covered, "runs": list });
            if generated {
                object["text"] = json!(text);
            }
            common::print_json(&object)?;
            return Ok(ExitCode::SUCCESS);
        }
        if generated {
            eprintln!("generated: {text:?}");
        }
        for run in runs.iter().take(self.top) {
            let found = self.run_json(&text, run)?;
            common::print_line(&format!(
                "{:>4} words at word {:<6} {}:{}: {:?}",
                run.n_words,
                run.start,
                self.corpus[run.file].display(),
                found["line"],
                &text[run.from..run.to],
            ))?;
        }
        eprintln!(
            "{} words; {:.1} % of them stand in {} runs of {} words or more",
            search.n_words(),
            100.0 * covered,
            runs.len(),
            self.min_words.max(1)
        );
        Ok(ExitCode::SUCCESS)
    }

    fn run_json(&self, text: &str, run: &Run) -> Result<Value> {
        let path = &self.corpus[run.file];
        let other = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let line = 1 + other.iter().take(run.place).filter(|&&byte| byte == b'\n').count();
        Ok(json!({
            "words": run.n_words, "start": run.start, "text": &text[run.from..run.to],
            "file": path, "place": run.place, "line": line,
        }))
    }

    /// Whether the argument names a model rather than a text.
    fn is_model(&self) -> bool {
        let path = Path::new(&self.text);
        self.text != "-" && (!path.is_file() || Weights::open(path).is_ok())
    }

    fn generate(&self) -> Result<String> {
        let sampling = self.sampling.sampling()?;
        let (mut engine, _) = common::engine(&self.text, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let prompt = self.prompt.as_deref().unwrap_or_default();
        let mut ids = common::encode(&tokenizer, prompt, false)?;
        if ids.is_empty() {
            // A model without a token for the beginning starts after the end of another text.
            ids.extend(tokenizer.bos().or(tokenizer.eos()));
        }
        let options = GenerateOptions { max_tokens: self.max_tokens, sampling, ..GenerateOptions::default() };
        Ok(run::generate(&mut engine, &ids, &options, |_| Ok(()))?.text)
    }
}
