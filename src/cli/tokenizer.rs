//! `aquatint tokenizer`: making tokenizers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::common;
use crate::error::{Error, Result};
use crate::text::{Encode, Tokenizer as Made, TrainKind, TrainProgress, Training, train};

/// Makes tokenizers.
#[derive(Args, Debug)]
pub struct Tokenizer {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Learns a vocabulary from texts.
    Train(Train),
}

/// Learns a vocabulary from texts and writes it as a tokenizer.json. The same texts give the same file.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint tokenizer train --kind bpe --size 8000 book.txt -o tokenizer.json
  aquatint tokenizer train --kind unigram --size 4000 *.txt -o tokenizer.json
  aquatint tokenizer train --kind bpe --special '<|user|>' --special '<|assistant|>' chats.txt -o tokenizer.json
  aquatint tokenize tokenizer.json smollm2-135m \"Is it any good?\"

JSON: {file, kind, n_vocab, n_bytes, bytes_per_token, seconds}")]
struct Train {
    /// Files of text; - for stdin.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[arg(long, value_enum)]
    kind: Kind,
    /// Tokens in the vocabulary, with special ones; fewer if the texts give no more.
    #[arg(long, default_value_t = 8000, value_name = "N")]
    size: usize,
    /// The file to write.
    #[arg(long, short, default_value = "tokenizer.json")]
    output: PathBuf,
    /// Pairs and words that come up less often become no tokens [default: 2 for bpe and wordpiece, else 1].
    #[arg(long, value_name = "N")]
    min_count: Option<u64>,
    /// Makes the texts small first.
    #[arg(long)]
    lowercase: bool,
    /// A further special token; can be given several times.
    #[arg(long, value_name = "NAME")]
    special: Vec<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Byte-level BPE, as in GPT-2, Llama 3 and Qwen.
    Bpe,
    /// As in BERT.
    Wordpiece,
    /// As in T5 and XLM-RoBERTa.
    Unigram,
    /// Whole words.
    Word,
    /// Single characters.
    Char,
}

impl From<Kind> for TrainKind {
    fn from(kind: Kind) -> TrainKind {
        match kind {
            Kind::Bpe => TrainKind::Bpe,
            Kind::Wordpiece => TrainKind::WordPiece,
            Kind::Unigram => TrainKind::Unigram,
            Kind::Word => TrainKind::Words,
            Kind::Char => TrainKind::Characters,
        }
    }
}

/// Texts are handed on in parts of about this size.
const N_PART_BYTES: usize = 64 << 10;

impl Tokenizer {
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Train(command) => command.run(),
        }
    }
}

impl Train {
    fn run(&self) -> Result<ExitCode> {
        let start = Instant::now();
        if self.output.is_dir() {
            let message =
                format!("{}: is a folder; expected the name of a file to write", self.output.display());
            return Err(Error::Input(message));
        }
        let texts = self.files.iter().map(|file| read(file)).collect::<Result<Vec<String>>>()?;
        let n_bytes: usize = texts.iter().map(String::len).sum();
        let kind = TrainKind::from(self.kind);
        let merges = matches!(kind, TrainKind::Bpe | TrainKind::WordPiece);
        let training = Training {
            kind,
            n_vocab: self.size,
            min_count: self.min_count.unwrap_or(if merges { 2 } else { 1 }),
            lowercase: self.lowercase,
            specials: self.special.clone(),
        };
        let bar = Progress::new(n_bytes as u64);
        let chunks = texts.iter().flat_map(|text| parts(text)).map(|part| Ok(part.to_owned()));
        let file = train(chunks, &training, &|progress| bar.show(progress));
        bar.bar.finish_and_clear();
        let file = file?;
        common::write_whole(&self.output, file.as_bytes())?;

        // What it does to the texts it was made from, or the first megabyte of them.
        let made = Made::from_json(file.as_bytes(), &self.output.display().to_string())?;
        let sample = texts.iter().flat_map(|text| parts(text)).take(16);
        let (mut n_sample, mut n_tokens) = (0, 0);
        for part in sample {
            n_sample += part.len();
            n_tokens +=
                made.encode(part, Encode { bos: Some(false), eos: Some(false), special: false })?.len();
        }
        let bytes_per_token = n_sample as f64 / n_tokens.max(1) as f64;
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            common::print_json(&json!({
                "file": self.output.display().to_string(),
                "kind": made.kind().name(),
                "n_vocab": made.n_vocab(),
                "n_bytes": n_bytes,
                "bytes_per_token": bytes_per_token,
                "seconds": seconds,
            }))?;
        } else {
            common::print_line(&format!(
                "{}: {}, {} tokens, from {n_bytes} bytes in {seconds:.1} s; {bytes_per_token:.2} bytes per token",
                self.output.display(),
                made.kind().name(),
                made.n_vocab(),
            ))?;
            if made.n_vocab() < self.size {
                eprintln!("note: the texts give {} tokens, {} were asked for", made.n_vocab(), self.size);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> Result<String> {
    match file.as_os_str() == "-" {
        true => common::text_or_file(Some("-"), None),
        false => common::text_or_file(None, Some(file)),
    }
}

/// Parts of a text, which end where a line ends and the next one begins with no blank, or where they must.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let floor = |at: usize| (0..=at).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(0);
        let end = if rest.len() <= N_PART_BYTES {
            rest.len()
        } else {
            let reach = &rest[..floor(rest.len().min(16 * N_PART_BYTES))];
            let lines =
                reach[floor(N_PART_BYTES)..].match_indices('\n').map(|(at, _)| floor(N_PART_BYTES) + at + 1);
            let clean = |&end: &usize| !rest[end..].starts_with(char::is_whitespace);
            lines.into_iter().find(clean).unwrap_or(reach.len())
        };
        let (part, behind) = rest.split_at(end);
        rest = behind;
        Some(part)
    })
}

/// A bar while words are counted, then a sign of life.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(n_bytes: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(n_bytes), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("counting words {bar:30} {bytes}/{total_bytes} {eta}")
        {
            bar.set_style(style);
        }
        Progress { bar }
    }

    fn show(&self, progress: TrainProgress) {
        match progress {
            TrainProgress::Counted(n_bytes) => self.bar.set_position(n_bytes),
            TrainProgress::Learning { n_words } => {
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    self.bar.set_style(style);
                }
                self.bar.set_message(format!("learning from {n_words} different words,"));
                self.bar.enable_steady_tick(Duration::from_millis(120));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_text() {
        let text = "Zeile äöü\n\n  mit Rand\n".repeat(20_000);
        let list: Vec<&str> = parts(&text).collect();
        assert!(list.len() > 2 && list.concat() == text);
        assert!(list[1..].iter().all(|part| part.starts_with('Z')));
        let line = "ä".repeat(2 << 20);
        assert_eq!(super::parts(&line).collect::<String>(), line);
    }
}
