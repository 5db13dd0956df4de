//! Which argument is a tokenizer and which is the text.

use std::io::IsTerminal;
use std::path::Path;

use super::Tokenize;
use super::analysis::Named;
use crate::cli::common;
use crate::error::{Error, Result};
use crate::text::Tokenizer;
use crate::{model, store};

/// Tokenizers that need no file. Each takes its vocabulary from the text.
const WITHOUT_FILE: &[(&str, fn(&str) -> Result<Tokenizer>)] =
    &[("bytes", |_| Tokenizer::bytes()), ("chars", Tokenizer::code_points), ("words", Tokenizer::words_of)];

/// The arguments, sorted out.
pub struct Inputs {
    /// Names and paths of tokenizers, at least one.
    pub names: Vec<String>,
    pub text: String,
}

/// The last argument is the text, unless something else supplies one; a tokenizer alone reads stdin.
pub fn sort_out(args: &Tokenize) -> Result<Inputs> {
    let all = |text: String| {
        let names = match args.words.is_empty() {
            true => vec![store::DEFAULT.to_owned()],
            false => args.words.clone(),
        };
        Ok(Inputs { names, text })
    };
    if args.probe {
        return all(String::new());
    }
    if let Some(file) = &args.file {
        return all(common::text_or_file(None, Some(file))?);
    }
    match &args.words[..] {
        [] => all(stdin()?),
        [one] if one == "-" => Ok(Inputs {
            names: vec![store::DEFAULT.to_owned()],
            text: common::text_or_file(Some("-"), None)?,
        }),
        [one] if is_tokenizer(one) => all(stdin()?),
        [one] if Path::new(one).exists() => Err(Error::Input(format!(
            "{one} is a file: --file {one} reads its text, behind the name of a tokenizer"
        ))),
        [one] => Ok(Inputs { names: vec![store::DEFAULT.to_owned()], text: one.clone() }),
        [names @ .., text] => {
            if Path::new(text).exists() && text != "-" {
                eprintln!("note: {text:?} is taken for the text; --file {text} reads the file");
            }
            Ok(Inputs { names: names.to_vec(), text: common::text_or_file(Some(text), None)? })
        }
    }
}

fn stdin() -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Err(Error::Input("there is no text: give one behind the tokenizer, or --file FILE".into()));
    }
    common::text_or_file(Some("-"), None)
}

/// Whether an argument that stands alone names a tokenizer rather than being a text.
fn is_tokenizer(word: &str) -> bool {
    WITHOUT_FILE.iter().any(|(name, _)| *name == word)
        || store::MODELS.iter().any(|known| known.name == word || known.aliases.contains(&word))
        || Path::new(word).is_dir()
        || Path::new(word).exists() && is_named_as_tokenizer(word)
}

fn is_named_as_tokenizer(path: &str) -> bool {
    let name =
        Path::new(path).file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = [".json", ".model", ".tiktoken", ".gguf", ".bin", ".bpe", ".safetensors"];
    ends.iter().any(|end| name.ends_with(end))
        || name.contains(".model.")
        || name.ends_with(".txt") && (name.contains("vocab") || name.contains("merges"))
}

/// Opens every tokenizer. `text` is what those without a file take their vocabulary from.
pub fn open(names: &[String], text: &str) -> Result<Vec<Named>> {
    let labels = labels(names);
    let open = |(word, name): (&String, String)| {
        let built_in = WITHOUT_FILE.iter().find(|(name, _)| name == word);
        let tokenizer = match built_in {
            Some((_, build)) if !Path::new(word).exists() => build(text)?,
            _ => model::open_tokenizer(&common::resolve(word)?)?,
        };
        Ok(Named { name, tokenizer })
    };
    names.iter().zip(labels).map(open).collect()
}

/// Short names that tell the tokenizers apart: the end of a path, from where it differs from the others.
fn labels(names: &[String]) -> Vec<String> {
    let parts = |name: &str| -> Vec<String> {
        match Path::new(name).exists() {
            true => Path::new(name).iter().map(|part| part.to_string_lossy().into_owned()).collect(),
            false => vec![name.to_owned()],
        }
    };
    let all: Vec<Vec<String>> = names.iter().map(|name| parts(name)).collect();
    let end = |parts: &[String], n: usize| parts[parts.len().saturating_sub(n)..].join("/");
    let label = |parts: &Vec<String>| {
        // `tokenizer.json` says nothing: the folder it lies in does.
        let first = if parts.last().is_some_and(|last| GENERIC.contains(&last.as_str())) { 2 } else { 1 };
        let alone = |n: &usize| all.iter().filter(|other| end(other, *n) == end(parts, *n)).count() == 1;
        match (first..parts.len()).find(alone).unwrap_or(first) {
            n @ 0..=2 => end(parts, n),
            n => format!("{}/…/{}", parts[parts.len() - n], parts[parts.len() - 1]),
        }
    };
    all.iter().map(label).collect()
}

const GENERIC: &[&str] = &["tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"];

#[cfg(test)]
mod tests {
    #[test]
    fn labels_tell_apart() {
        let names = |list: &[&str]| super::labels(&list.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["gemma3-270m", "a/b.json"]), ["gemma3-270m", "a/b.json"]);
        let here = env!("CARGO_MANIFEST_DIR");
        let files = [format!("{here}/src/cli/mod.rs"), format!("{here}/src/text/mod.rs")];
        assert_eq!(names(&[&files[0], &files[1]]), ["cli/mod.rs", "text/mod.rs"]);
    }
}
