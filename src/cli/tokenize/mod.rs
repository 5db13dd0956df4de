//! `aquatint tokenize`: the tokens of a text, by one tokenizer or by several beside each other.

mod analysis;
mod inputs;
mod page;
mod plain;
mod probe;
mod terminal;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::analysis::{Analysis, Named, Size};
use super::common;
use crate::error::{Error, Result};
use crate::text::Encode;

/// Shows how tokenizers cut a text: pieces, ids, byte offsets and counts. Needs no GPU.
///
/// A TOKENIZER is a model by name or path, a folder, one of the files tokenizer.json, vocab.txt,
/// vocab.json (with merges.txt beside it), *.model, *.tiktoken, *.gguf, or one of the words bytes, chars,
/// words, which need no file. The last argument is the text, unless --file or stdin supplies it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint tokenize \"Hello, world\"
  aquatint tokenize smollm2-135m gemma3-270m bytes \"Hello, wörld 🙂\"
  aquatint tokenize gemma3-270m --file book.txt --count
  aquatint tokenize smollm2-135m tokenizer.json --probe --report probe.html
  aquatint tokenize vocab.gguf --file texts.txt --separator '\\n' --bare --ids

JSON: {name, kind, n_vocab, n_bytes, n_chars, n_words, n_tokens, tokens_per_word, tokens_per_byte, n_unknown,
exact, seconds, cpu_seconds, tokens: [{id, piece, start, end}]}; start and end are bytes of the text; exact: decoding
gives the text back. With several tokenizers {tokenizers: [...]}, with --separator {texts: [{tokens, ...}]},
with --probe {sections: [{name, text, tokenizers: [...]}], findings: [...]}.")]
pub struct Tokenize {
    /// Tokenizers, then the text; - for stdin.
    #[arg(value_name = "TOKENIZER|TEXT")]
    words: Vec<String>,
    /// Reads the text from a file.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Takes names such as <|im_start|> in the text for special tokens.
    #[arg(long)]
    special: bool,
    /// Leaves out what the model wants around a text (bos, eos, [CLS], [SEP]).
    #[arg(long)]
    bare: bool,
    /// Only prints the ids.
    #[arg(long, conflicts_with_all = ["json", "report", "probe", "count"])]
    ids: bool,
    /// Only prints the counts.
    #[arg(long, conflicts_with = "probe")]
    count: bool,
    /// Cuts the text at each of these, into texts of their own; \n is a line end.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["report", "probe", "count"])]
    separator: Option<String>,
    /// Shows a built-in text of capitals, languages, emoji, code, digits and special tokens.
    #[arg(long, conflicts_with_all = ["file", "separator"])]
    probe: bool,
    /// Writes a page that opens in any browser, with no network.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
    #[arg(long, conflicts_with = "report")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// A text and what each tokenizer makes of it.
struct Section {
    title: String,
    /// What to look for.
    note: String,
    text: String,
    size: Size,
    /// In the order of the tokenizers.
    analyses: Vec<Analysis>,
}

impl Section {
    fn new(title: &str, note: &str, text: &str, tokenizers: &[Named], options: Encode) -> Result<Section> {
        let analyses = tokenizers.iter().map(|t| t.analyse(text, options)).collect::<Result<_>>()?;
        let (title, note, text) = (title.to_owned(), note.to_owned(), text.to_owned());
        Ok(Section { size: Size::of(&text), title, note, text, analyses })
    }
}

impl Tokenize {
    pub fn run(&self) -> Result<ExitCode> {
        let inputs = inputs::sort_out(self)?;
        let sample = if self.probe { probe::all_texts() } else { inputs.text.clone() };
        let tokenizers = inputs::open(&inputs.names, &sample)?;
        if self.probe {
            self.print_probe(&tokenizers)?;
        } else if let Some(separator) = &self.separator {
            self.print_texts(&tokenizers, &inputs.text, separator)?;
        } else {
            self.print_text(&tokenizers, &inputs.text)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> Encode {
        let frame = self.bare.then_some(false);
        Encode { special: self.special, bos: frame, eos: frame }
    }

    fn print_text(&self, tokenizers: &[Named], text: &str) -> Result<()> {
        if self.ids {
            let ids = one(tokenizers, "--ids")?.tokenizer.encode(text, self.options())?;
            return common::print_line(&join(&ids));
        }
        let section = Section::new("Text", "", text, tokenizers, self.options())?;
        if self.json {
            let parts: Vec<Value> = tokenizers
                .iter()
                .zip(&section.analyses)
                .map(|(t, analysis)| t.json(analysis, section.size, !self.count))
                .collect();
            return common::print_json(&match tokenizers.len() {
                1 => parts.into_iter().next().expect("there is one tokenizer"),
                _ => json!({ "tokenizers": parts }),
            });
        }
        let colours = self.colours();
        let sections = [section];
        if let Some(file) = &self.report {
            page::write(file, "Tokens", tokenizers, &sections, &[])?;
            eprintln!("wrote {}", file.display());
        } else if !self.count {
            match (colours, tokenizers.len()) {
                (true, _) => common::print(&terminal::tokens(tokenizers, &sections[0], terminal::width()))?,
                (false, 1) => common::print(&plain::list(&tokenizers[0], &sections[0]))?,
                (false, _) => common::print(&plain::side_by_side(tokenizers, &sections[0]))?,
            }
        }
        match (tokenizers, self.count || self.report.is_some() || colours) {
            ([_], false) => eprintln!("{}", plain::summary_line(&sections[0])),
            _ => common::print(&plain::summary(tokenizers, &sections[0], colours))?,
        }
        Ok(())
    }

    /// Each part between separators is a text: a line of ids, or an entry of `texts`.
    fn print_texts(&self, tokenizers: &[Named], text: &str, separator: &str) -> Result<()> {
        let named = one(tokenizers, "--separator")?;
        let separator = separator.replace("\\n", "\n").replace("\\t", "\t");
        if separator.is_empty() {
            return Err(Error::Input("--separator: expected a text, found none".into()));
        }
        // A separator behind the last text ends it.
        let texts = text.strip_suffix(&separator).unwrap_or(text).split(&separator);
        if self.json {
            let options = self.options();
            let entry = |text| Ok(named.json(&named.analyse(text, options)?, Size::of(text), true));
            let entries: Vec<Value> = texts.map(entry).collect::<Result<_>>()?;
            return common::print_json(&json!({ "texts": entries }));
        }
        let mut lines = String::new();
        for text in texts {
            lines.push_str(&join(&named.tokenizer.encode(text, self.options())?));
            lines.push('\n');
        }
        common::print(&lines)
    }

    fn print_probe(&self, tokenizers: &[Named]) -> Result<()> {
        let sections = probe::sections(tokenizers)?;
        let findings = probe::findings(tokenizers)?;
        if self.json {
            let section = |s: &Section| {
                let parts = tokenizers.iter().zip(&s.analyses).map(|(t, a)| t.json(a, s.size, true));
                json!({ "name": s.title, "text": s.text, "tokenizers": parts.collect::<Vec<_>>() })
            };
            let findings: Vec<Value> = findings.iter().map(probe::Finding::json).collect();
            return common::print_json(&json!({
                "sections": sections.iter().map(section).collect::<Vec<_>>(),
                "findings": findings,
            }));
        }
        let colours = self.colours();
        if let Some(file) = &self.report {
            page::write(file, "Probe of tokenizers", tokenizers, &sections, &findings)?;
            eprintln!("wrote {}", file.display());
        } else {
            for section in &sections {
                let title = format!("{} — {}", section.title, section.note);
                common::print_line(&if colours { format!("\x1b[1m{title}\x1b[0m") } else { title })?;
                let tokens = terminal::tokens_plainly(tokenizers, section, terminal::width(), colours);
                common::print_line(&tokens)?;
            }
        }
        common::print(&plain::findings(tokenizers, &findings, colours))
    }

    fn colours(&self) -> bool {
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal() && unset("NO_COLOR") && !dumb,
        }
    }
}

fn one<'a>(tokenizers: &'a [Named], option: &str) -> Result<&'a Named> {
    match tokenizers {
        [named] => Ok(named),
        several => Err(Error::Input(format!("{option}: expected one tokenizer, found {}", several.len()))),
    }
}

fn join(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
