//! `aquatint vectors train`: word vectors from texts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::common::{self, DeviceArgs};
use crate::error::{Error, Result};
use crate::vectors::{
    Checkpoint, Corpus, CorpusReader, FileFormat, Objective, Sentences, Split, TrainOptions, Trainer,
};

/// Trains word vectors: skip-gram with negative sampling (word2vec). Ctrl-C keeps what was learnt.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint vectors train book.txt --paragraphs -o book.bin
  aquatint vectors train text8 --split spaces --dim 200 --epochs 10 -o text8.txt
  aquatint vectors train text8 --split spaces -o text8.txt --resume

Ctrl-C writes the vectors as they are, and beside them FILE.training, from which --resume goes on with
the same texts as if nothing had been. The same seed gives the same vectors on the same adapter.

JSON: {file, words, dimensions, text_words, epochs, fraction, loss, seconds, words_per_second}")]
pub struct Train {
    /// Texts, UTF-8; - for stdin.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How the file is written [default: binary if its name ends in .bin, text otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Numbers per vector.
    #[arg(long, default_value_t = 100, value_name = "N")]
    dim: usize,
    /// Words on either side at most.
    #[arg(long, default_value_t = 5, value_name = "N")]
    window: usize,
    /// Leaves out rarer words.
    #[arg(long, default_value_t = 5, value_name = "N")]
    min_count: u64,
    /// Thins out words that are a larger share of the text; 0 for none.
    #[arg(long, default_value_t = 1e-3, value_name = "SHARE")]
    sample: f64,
    /// Words drawn at random for each pair of neighbours.
    #[arg(long, default_value_t = 5, value_name = "N")]
    negative: usize,
    /// Times over the text [default: 5, with --resume as before].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Learning rate at the beginning.
    #[arg(long, default_value_t = 0.025)]
    rate: f64,
    /// Learning rate at the end.
    #[arg(long, default_value_t = 1e-4)]
    rate_min: f64,
    /// Predicts each word from the mean of its neighbours instead of from each.
    #[arg(long)]
    cbow: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Words that are trained on together [default: by the device and the commonest word].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    batch: usize,
    /// Words: runs of letters and digits, in lower case; or what stands between spaces, as it is.
    #[arg(long, value_enum, default_value = "words")]
    split: SplitBy,
    /// Sentences end at empty lines, not at every line.
    #[arg(long)]
    paragraphs: bool,
    /// Goes on from FILE.training.
    #[arg(long, conflicts_with_all = ["dim", "window", "sample", "negative", "rate", "rate_min", "cbow", "seed", "batch"])]
    resume: bool,
}

/// File formats by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Binary,
    Glove,
}

impl Format {
    /// The format asked for, else the one that the name of the file tells.
    pub fn of(given: Option<Format>, path: &Path) -> FileFormat {
        let by_name =
            if path.extension().is_some_and(|e| e == "bin") { Format::Binary } else { Format::Text };
        match given.unwrap_or(by_name) {
            Format::Text => FileFormat::Word2vecText,
            Format::Binary => FileFormat::Word2vecBinary,
            Format::Glove => FileFormat::GloveText,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitBy {
    Words,
    Spaces,
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

impl Train {
    pub fn run(&self, device: &DeviceArgs, is_json: bool) -> Result<ExitCode> {
        check_folder(&self.output)?;
        let state = training_file(&self.output);
        let checkpoint = match self.resume {
            true => Some(Checkpoint::read(&state)?),
            false => None,
        };
        let options = self.options();
        options.check()?;
        let corpus = self.read()?;
        let n_text = corpus.n_words;
        eprintln!(
            "{} words of text, {} of {} in the vocabulary",
            n_text,
            corpus.counts.iter().sum::<u64>(),
            corpus.words.len()
        );
        let gpu = device.open()?;
        let mut trainer = match checkpoint {
            Some(mut checkpoint) => {
                checkpoint.options.epochs = self.epochs.unwrap_or(checkpoint.options.epochs);
                checkpoint.resume(&gpu, corpus)?
            }
            None => Trainer::new(&gpu, corpus, options)?,
        };
        ctrlc::set_handler(|| {
            // The second time somebody is in a hurry.
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        })
        .map_err(|error| Error::Gpu(format!("Ctrl-C cannot be caught: {error}")))?;

        let epochs = trainer.options().epochs;
        let text_words = n_text as f64 * epochs as f64;
        let bar = progress_bar();
        let start = Instant::now();
        let begun = trainer.progress();
        let mut progress = begun;
        let mut loss = None;
        while !STOP.load(Ordering::Relaxed) {
            let Some(now) = trainer.step()? else { break };
            let speed =
                (now.fraction - begun.fraction) * text_words / start.elapsed().as_secs_f64().max(1e-9);
            if now.loss.is_finite() {
                loss = Some(loss.map_or(now.loss, |loss: f64| 0.9 * loss + 0.1 * now.loss));
            }
            bar.set_position((now.fraction * 1000.0) as u64);
            bar.set_message(format!(
                "loss {:.4}, {:.0} words/s, rate {:.5}",
                loss.unwrap_or(f64::NAN),
                speed,
                now.rate
            ));
            progress = now;
        }
        let vectors = trainer.vectors()?;
        let seconds = start.elapsed().as_secs_f64();
        bar.finish_and_clear();
        vectors.write(&self.output, Format::of(self.format, &self.output))?;
        gpu.save_pipeline_cache()?;
        let is_done = progress.fraction >= 1.0;
        if is_done {
            // What is done is not gone on with; there may be none.
            let _ = std::fs::remove_file(&state);
        } else {
            trainer.save(&state)?;
            eprintln!(
                "stopped after {:.1} % of {epochs} epochs; go on with --resume ({})",
                100.0 * progress.fraction,
                state.display()
            );
        }
        let speed = (progress.fraction - begun.fraction) * text_words / seconds.max(1e-9);
        if is_json {
            common::print_json(&json!({
                "file": self.output,
                "words": vectors.words.len(),
                "dimensions": vectors.dimensions,
                "text_words": n_text,
                "epochs": epochs,
                "fraction": progress.fraction,
                "loss": loss,
                "seconds": seconds,
                "words_per_second": speed,
            }))?;
        } else {
            common::print_line(&format!(
                "{}: {} words of {} dimensions; {:.1} s, {speed:.0} words/s, loss {:.4}",
                self.output.display(),
                vectors.words.len(),
                vectors.dimensions,
                seconds,
                loss.unwrap_or(f64::NAN)
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> TrainOptions {
        TrainOptions {
            objective: if self.cbow { Objective::Cbow } else { Objective::SkipGram },
            dimensions: self.dim,
            window: self.window,
            negative: self.negative,
            sample: self.sample,
            epochs: self.epochs.unwrap_or(TrainOptions::default().epochs),
            rate: self.rate,
            rate_min: self.rate_min,
            seed: self.seed,
            batch: self.batch,
        }
    }

    fn read(&self) -> Result<Corpus> {
        let split = if self.split == SplitBy::Spaces { Split::Spaces } else { Split::Words };
        let sentences = if self.paragraphs { Sentences::Paragraphs } else { Sentences::Lines };
        let mut reader = CorpusReader::new(split, sentences);
        for file in &self.files {
            match file.as_os_str() == "-" {
                true => reader.add(&common::text_or_file(Some("-"), None)?),
                false => reader.read(file)?,
            }
        }
        let corpus = reader.finish(self.min_count)?;
        if !corpus.has_pairs() {
            return Err(Error::Input(
                "no two words of the vocabulary stand in one sentence; sentences are lines, or with --paragraphs what \
                 stands between empty lines"
                    .into(),
            ));
        }
        Ok(corpus)
    }
}

/// Fails early, not after the training.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(Error::Input(format!("{}: there is no such folder", folder.display())))
        }
        _ if path.is_dir() => Err(Error::Input(format!("{}: is a folder, expected a file", path.display()))),
        _ => Ok(()),
    }
}

fn training_file(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".training");
    PathBuf::from(name)
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent}% {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
