//! What a user types for MODEL, when it is not a path.

use super::known::KnownModel;
use crate::error::{Error, Result};

/// A model by name.
#[derive(Debug, Clone)]
pub enum Name {
    Known(&'static KnownModel),
    /// `ORG/NAME`; `file` is a path in the repository or a part of one, such as `Q4_K_M`.
    Hub {
        repository: String,
        file: Option<String>,
    },
}

impl Name {
    /// The model's folder in the store.
    pub fn folder(&self) -> String {
        match self {
            Name::Known(known) => known.name.into(),
            Name::Hub { repository, file: None } => repository.replace('/', "--"),
            Name::Hub { repository, file: Some(file) } => {
                let stem = file.strip_suffix(".gguf").unwrap_or(file);
                format!("{repository}--{stem}").replace(['/', '\\', ':'], "--")
            }
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Known(known) => f.write_str(known.name),
            Name::Hub { repository, file: None } => f.write_str(repository),
            Name::Hub { repository, file: Some(file) } => write!(f, "{repository}:{file}"),
        }
    }
}

/// Reads a short name, an alias, or a hub name: `ORG/NAME[:FILE]`, optionally after `hf.co/`.
pub fn parse(models: &'static [KnownModel], text: &str) -> Result<Name> {
    let same = |name: &str| name.eq_ignore_ascii_case(text);
    if let Some(known) = models.iter().find(|known| same(known.name) || known.aliases.iter().any(|a| same(a)))
    {
        return Ok(Name::Known(known));
    }
    let bare = text.strip_prefix("https://").unwrap_or(text);
    let after_host = ["hf.co/", "huggingface.co/", "hf://"].iter().find_map(|host| bare.strip_prefix(host));
    let looks_like_path = text.contains('\\')
        || text.starts_with(['.', '/', '~'])
        || [".gguf", ".safetensors", ".bin", ".json"].iter().any(|end| text.to_lowercase().ends_with(end))
            && !text.contains(':');
    if after_host.is_none() && looks_like_path {
        return Err(Error::Input(format!("{text}: no such file or folder")));
    }
    if let Some(name) = hub_name(after_host.unwrap_or(text)) {
        return Ok(name);
    }
    let expected = "a path, a short name, or ORG/NAME[:FILE] on the hub";
    let known: Vec<&str> = models.iter().map(|known| known.name).collect();
    let advice = match nearest(models, text) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("short names: {}", known.join(", ")),
    };
    Err(Error::Input(format!("no model {text:?}: expected {expected}; {advice}")))
}

/// `ORG/NAME`, `ORG/NAME:FILE`, `ORG/NAME/FILE`.
fn hub_name(text: &str) -> Option<Name> {
    let (path, tag) = match text.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (text, None),
    };
    let mut parts = path.splitn(3, '/');
    let (organisation, name, rest) = (parts.next()?, parts.next()?, parts.next());
    let is_word = |word: &str| {
        !word.is_empty()
            && word.len() <= 96
            && !word.starts_with(['.', '-'])
            && !word.contains("..")
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let file = match (tag, rest) {
        (Some(_), Some(_)) => return None,
        (file, None) | (None, file) => file,
    };
    let is_name = is_word(organisation) && is_word(name) && file.is_none_or(is_safe_file);
    is_name.then(|| Name::Hub { repository: format!("{organisation}/{name}"), file: file.map(Into::into) })
}

/// Whether a path inside a repository stays inside the folder it is put into, on any system.
pub fn is_safe_file(path: &str) -> bool {
    path.len() <= 256
        && !path.contains(['\\', ':', '\0'])
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// The short name or alias closest to `text`, if it is close.
fn nearest(models: &'static [KnownModel], text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for known in models {
        for name in std::iter::once(known.name).chain(known.aliases.iter().copied()) {
            let starts = text.len() >= 3 && (name.starts_with(&text) || text.starts_with(name));
            let distance = if starts { 1 } else { edits(&text, name) };
            if distance <= name.len() / 3 && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, known.name));
            }
        }
    }
    best.map(|(_, name)| name)
}

/// Levenshtein's distance: the fewest insertions, deletions and replacements of one character.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MODELS;

    #[test]
    fn names_are_read() {
        let check = |text: &str, expected: &str| {
            let name = parse(MODELS, text).map(|name| name.to_string()).unwrap_or_else(|e| e.to_string());
            assert_eq!(name, expected, "{text}");
        };
        check("smollm2-135m", "smollm2-135m");
        check("SmolLM2", "smollm2-135m");
        check("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2");
        check("hf.co/org/name", "org/name");
        check("https://huggingface.co/org/name", "org/name");
        check("org/name:Q4_K_M", "org/name:Q4_K_M");
        check("org/name:sub/file.gguf", "org/name:sub/file.gguf");
        check("hf.co/org/name/file.gguf", "org/name:file.gguf");
        check("models/missing.gguf", "models/missing.gguf: no such file or folder");
        check("./missing", "./missing: no such file or folder");
    }

    #[test]
    fn wrong_names_get_advice() {
        let advice = |text: &str| parse(MODELS, text).map(|_| ()).unwrap_err().to_string();
        assert!(advice("smolm2-135m").ends_with("did you mean smollm2-135m?"));
        assert!(advice("gema3-270m").ends_with("did you mean gemma3-270m?"));
        assert!(advice("smollm2-135").ends_with("did you mean smollm2-135m?"));
        assert!(advice("zzz").contains("short names: smollm2-135m, gemma3-270m"));
        assert!(advice("").contains("short names"));
        assert!(advice("org/../etc").contains("expected a path"));
        assert!(advice("org/name:../../etc").contains("expected a path"));
        assert!(advice("org/name:C:/x").contains("expected a path"));
    }

    #[test]
    fn folders_are_one_level_deep() {
        let folder = |text: &str| parse(MODELS, text).unwrap().folder();
        assert_eq!(folder("org/name"), "org--name");
        assert_eq!(folder("org/name:sub/file.Q4_0.gguf"), "org--name--sub--file.Q4_0");
    }
}
