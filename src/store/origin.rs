//! Where a model comes from and on what terms, as far as its files and the store say.

use std::path::Path;

use super::{MODELS, Store};
use crate::weights::Weights;

/// Texts for people; empty where nothing says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// An SPDX name where there is one.
    pub licence: String,
    pub source: String,
    /// Where the model or its terms are described.
    pub page: String,
}

/// The origin of a model at `path`: by the store's record, the list of known models, the file's own words
/// and the front matter of a README beside it, the first that says.
pub fn origin(path: &Path, weights: &Weights) -> Origin {
    let mut found = in_store(path).unwrap_or_default();
    for other in [in_metadata(weights), in_readme(path), in_hub_cache(path)] {
        let fill = |own: &mut String, other: String| {
            if own.is_empty() {
                *own = other;
            }
        };
        fill(&mut found.licence, other.licence);
        fill(&mut found.source, other.source);
        fill(&mut found.page, other.page);
    }
    found
}

fn in_store(path: &Path) -> Option<Origin> {
    let entry = Store::from_env().ok()?.list().ok()?.into_iter().find(|entry| entry.path == path)?;
    let known = MODELS.iter().find(|known| known.name == entry.name);
    let licence =
        if entry.licence.is_empty() { known.map_or("", |known| known.licence) } else { &entry.licence };
    Some(Origin {
        licence: licence.to_owned(),
        source: entry.source,
        page: known.map_or("", |known| known.page).to_owned(),
    })
}

/// The `general.*` keys of GGUF.
fn in_metadata(weights: &Weights) -> Origin {
    let first = |keys: &[&str]| {
        let text = |key: &&str| weights.metadata().str(key).ok().filter(|text| !text.is_empty());
        keys.iter().find_map(text).unwrap_or_default().to_owned()
    };
    let (name, licence) = (first(&["general.license.name"]), first(&["general.license"]));
    Origin {
        licence: if name.is_empty() || licence.eq_ignore_ascii_case(&name) {
            licence
        } else {
            format!("{name} ({licence})").replace(" ()", "")
        },
        source: first(&[
            "general.source.url",
            "general.source.repo_url",
            "general.source.huggingface.repository",
            "general.repo_url",
            "general.base_model.0.repo_url",
        ]),
        page: first(&["general.license.link", "general.url", "general.base_model.0.repo_url"]),
    }
}

/// The lines between the first two lines of dashes in a README, as the hub has them.
fn in_readme(path: &Path) -> Origin {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    std::fs::read_to_string(folder.join("README.md")).map(|text| front_matter(&text)).unwrap_or_default()
}

fn front_matter(text: &str) -> Origin {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Origin::default();
    }
    let lines: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let value = |key: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let (licence, name) = (value("license"), value("license_name"));
    Origin {
        licence: if name.is_empty() { licence } else { name },
        source: value("base_model"),
        page: value("license_link"),
    }
}

/// The repository in the name of a folder of the hub's cache.
fn in_hub_cache(path: &Path) -> Origin {
    let parts = path.components().filter_map(|part| part.as_os_str().to_str());
    let name = parts.filter_map(|part| part.strip_prefix("models--")).next_back();
    let source = name.map(|name| format!("hub cache {}", name.replacen("--", "/", 1)));
    Origin { source: source.unwrap_or_default(), ..Origin::default() }
}

impl std::fmt::Display for Origin {
    /// `licence Apache-2.0; from hub x/y; see https://...`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let licence = if self.licence.is_empty() { "not stated; ask its source" } else { &self.licence };
        write!(f, "licence {licence}")?;
        for (word, text) in [("from", &self.source), ("see", &self.page)] {
            if !text.is_empty() {
                write!(f, "; {word} {text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_read() {
        let text = "---\nlanguage: en\nlicense: other\nlicense_name: \"gemma\"\nlicense_link: https://e.org/t\n---\n# license: x\n";
        let found = front_matter(text);
        assert_eq!((found.licence.as_str(), found.page.as_str()), ("gemma", "https://e.org/t"));
        assert_eq!(front_matter("---\nlicense: mit\n---\n").licence, "mit");
        assert_eq!(front_matter("# A model\nlicense: mit\n"), Origin::default());
        assert_eq!(front_matter(""), Origin::default());
    }

    #[test]
    fn an_origin_says_what_it_does_not_know() {
        assert_eq!(Origin::default().to_string(), "licence not stated; ask its source");
        let origin = in_hub_cache(Path::new("/x/models--org--a--b/snapshots/1/m.gguf"));
        assert_eq!(origin.source, "hub cache org/a--b");
    }
}
