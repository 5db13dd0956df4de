//! The model hub: its cache on this disk, its lists of files, the choice among them.

use std::path::{Path, PathBuf};

use super::folder::RecordFile;
use super::part::{self, Wanted};
use super::{Hub, Progress};
use crate::error::{Error, Result};

/// Files of a repository's folder layout that are worth having beside the weights.
const COMPANIONS: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// What a repository with several GGUF files is most often wanted for, first choice first: the
/// largest quality for the size at about four bits, then what is left.
const PREFERRED: &[&str] = &["q4_k_m", "q4_k_s", "q4_0", "q4_1", "q5_k_m", "q8_0"];

/// The files of a repository at one commit.
#[derive(Debug)]
pub struct Listing {
    pub revision: String,
    /// Empty where the repository does not say.
    pub licence: String,
    pub files: Vec<Wanted>,
}

impl Listing {
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.name.as_str()).collect()
    }

    pub fn wanted(&self, names: &[String]) -> Vec<Wanted> {
        self.files.iter().filter(|file| names.contains(&file.name)).cloned().collect()
    }

    /// Reads the hub's answer. The checksum of a large file is in it; a small one has only a git hash,
    /// which is not used: its size is checked.
    #[cfg(any(feature = "hub", test))]
    fn read(answer: &serde_json::Value) -> Option<Listing> {
        let revision = answer["sha"].as_str().filter(|sha| sha.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let tags = answer["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
        let licence = tags.iter().find_map(|tag| tag.as_str()?.strip_prefix("license:")).unwrap_or_default();
        let is_sha256 = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let files = answer["siblings"].as_array()?.iter().filter_map(|sibling| {
            Some(Wanted {
                name: sibling["rfilename"].as_str().filter(|name| super::name::is_safe_file(name))?.into(),
                bytes: sibling["size"].as_u64(),
                sha256: sibling["lfs"]["sha256"].as_str().filter(is_sha256).map(str::to_lowercase),
            })
        });
        Some(Listing { revision: revision.into(), licence: licence.into(), files: files.collect() })
    }
}

/// The paths to fetch of a repository: a GGUF file, or the folder layout's configuration, tokenizer
/// and weights. `file` is a path or the end of a GGUF file's stem, such as `Q4_K_M`.
pub fn choose(repository: &str, names: &[&str], file: Option<&str>) -> Result<Vec<String>> {
    let ggufs: Vec<&str> = names.iter().copied().filter(|name| is_model_gguf(name)).collect();
    if let Some(file) = file {
        let matching: Vec<&str> = match names.iter().find(|name| **name == file) {
            Some(exact) => vec![exact],
            None => ggufs.iter().copied().filter(|name| has_tag(name, file)).collect(),
        };
        return match matching.as_slice() {
            [one] if one.ends_with(".gguf") => whole(repository, one),
            [] | [_] => {
                Err(Error::Input(format!("{repository} has no GGUF file {file}; {}", listed(&ggufs))))
            }
            several => Err(Error::Input(format!("{repository}:{file} is ambiguous; {}", listed(several)))),
        };
    }
    let weights = safetensors(repository, names)?;
    if !weights.is_empty() && names.contains(&"config.json") {
        let companions = names.iter().filter(|name| COMPANIONS.contains(name));
        return Ok(companions.map(|name| name.to_string()).chain(weights).collect());
    }
    if let [one] = ggufs.as_slice() {
        return whole(repository, one);
    }
    for tag in PREFERRED {
        let tagged: Vec<&str> = ggufs.iter().copied().filter(|name| has_tag(name, tag)).collect();
        if let [one] = tagged.as_slice() {
            return whole(repository, one);
        }
    }
    Err(Error::Input(match ggufs.is_empty() {
        true => format!("{repository} has neither a GGUF file nor config.json with *.safetensors"),
        false => format!("{repository} has several models, say {repository}:FILE; {}", listed(&ggufs)),
    }))
}

/// One GGUF file, unless it is a piece of one.
fn whole(repository: &str, name: &str) -> Result<Vec<String>> {
    match shard(name, ".gguf") {
        Some(_) => Err(Error::Unsupported(format!(
            "{repository}:{name} is one piece of a split GGUF file; join the pieces with llama-gguf-split --merge, \
             or choose a model in one file"
        ))),
        None => Ok(vec![name.into()]),
    }
}

/// The weight files of the folder layout: one, or all shards and their index.
fn safetensors(repository: &str, names: &[&str]) -> Result<Vec<String>> {
    if names.contains(&"model.safetensors") {
        return Ok(vec!["model.safetensors".into()]);
    }
    let shards: Vec<(&str, usize)> = names
        .iter()
        .filter(|name| name.starts_with("model-"))
        .filter_map(|name| Some((*name, shard(name, ".safetensors")?)))
        .collect();
    let Some((_, expected)) = shards.first().copied() else {
        return Ok(Vec::new());
    };
    if shards.len() != expected {
        return Err(Error::Input(format!("{repository} has {} of {expected} weight files", shards.len())));
    }
    let index = names.iter().copied().filter(|name| *name == "model.safetensors.index.json");
    Ok(shards.iter().map(|(name, _)| *name).chain(index).map(Into::into).collect())
}

/// The number of pieces, of a name like `model-00001-of-00003.gguf`.
fn shard(name: &str, end: &str) -> Option<usize> {
    let (front, total) = name.strip_suffix(end)?.rsplit_once("-of-")?;
    let (_, index) = front.rsplit_once('-')?;
    index.parse::<usize>().ok()?;
    total.parse().ok()
}

/// Image projectors and calibration data are GGUF files too, but no models.
fn is_model_gguf(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    file.ends_with(".gguf") && !file.starts_with("mmproj") && !file.contains("imatrix")
}

/// Whether a file's stem is `tag` or ends with it as a word, without case.
fn has_tag(name: &str, tag: &str) -> bool {
    let (name, tag) = (name.to_lowercase(), tag.to_lowercase());
    let stem = name.rsplit('/').next().unwrap_or(&name);
    let stem = stem.strip_suffix(".gguf").unwrap_or(stem);
    let tag = tag.strip_suffix(".gguf").unwrap_or(&tag);
    stem.strip_suffix(tag).is_some_and(|front| front.is_empty() || front.ends_with(['-', '.', '_']))
}

fn listed(names: &[&str]) -> String {
    const N_MAX: usize = 30;
    let more = if names.len() > N_MAX { ", ..." } else { "" };
    match names {
        [] => "it has none".into(),
        _ => format!("it has {}{more}", names[..names.len().min(N_MAX)].join(", ")),
    }
}

/// A known model in the hub's cache, checked: its file, or its folder.
pub fn known_in_cache(cache: Option<&Path>, repository: &str, wanted: &[Wanted]) -> Result<PathBuf> {
    let (place, snapshots) = snapshots(cache, repository)?;
    for snapshot in &snapshots {
        if wanted.iter().all(|file| is_same(snapshot, file)) {
            return Ok(match wanted {
                [one] => snapshot.join(&one.name),
                _ => snapshot.clone(),
            });
        }
    }
    Err(Error::Input(format!("none of {} snapshots in {} has these files", snapshots.len(), place.display())))
}

/// A file in a snapshot is usually a link to a blob named by its SHA-256, checked when it came.
fn is_same(snapshot: &Path, wanted: &Wanted) -> bool {
    let path = snapshot.join(&wanted.name);
    let named =
        std::fs::canonicalize(&path).ok().and_then(|blob| blob.file_name()?.to_str().map(str::to_owned));
    let same_size =
        || wanted.bytes.is_some() && std::fs::metadata(&path).ok().map(|data| data.len()) == wanted.bytes;
    let Some(named) = named else { return false };
    same_size() && (wanted.sha256 == Some(named) || part::complete(snapshot, wanted).is_some())
}

/// Any model in the hub's cache, as it lies there, with the sum of its sizes.
pub fn in_cache(cache: Option<&Path>, repository: &str, file: Option<&str>) -> Result<(PathBuf, u64)> {
    let (_, snapshots) = snapshots(cache, repository)?;
    let mut reason = None;
    for snapshot in &snapshots {
        let mut names = Vec::new();
        walk(snapshot, "", 2, &mut names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match choose(repository, &names, file) {
            Ok(chosen) => {
                let size =
                    |name: &String| std::fs::metadata(snapshot.join(name)).map_or(0, |data| data.len());
                let bytes = chosen.iter().map(size).sum();
                let path = match chosen.as_slice() {
                    [one] => snapshot.join(one),
                    _ => snapshot.clone(),
                };
                return Ok((path, bytes));
            }
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    Err(reason.unwrap_or_else(|| Error::Input("no snapshot".into())))
}

/// The snapshots of a repository in the cache; the one that `main` was last seen at comes first.
fn snapshots(cache: Option<&Path>, repository: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    let Some(cache) = cache else {
        return Err(Error::Input("no cache folder: HOME and HF_HOME are not set".into()));
    };
    let place = cache.join(format!("models--{}", repository.replace('/', "--")));
    let Ok(entries) = std::fs::read_dir(place.join("snapshots")) else {
        return Err(Error::Input(format!("not in {}", cache.display())));
    };
    let main = std::fs::read_to_string(place.join("refs/main")).unwrap_or_default();
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_by_key(|path| (!path.ends_with(main.trim()), path.clone()));
    Ok((place, found))
}

/// Paths of the files below `folder`, with forward slashes. Links to nothing are left out.
fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match std::fs::metadata(entry.path()) {
            Ok(data) if data.is_file() => names.push(name),
            Ok(data) if data.is_dir() && depth > 1 => walk(&entry.path(), &(name + "/"), depth - 1, names),
            _ => {}
        }
    }
    names.sort();
}

/// Asks the hub what a repository holds.
#[cfg(feature = "hub")]
pub fn listing(hub: &Hub, repository: &str) -> Result<Listing> {
    let answer = super::http::json(hub, &format!("{}/api/models/{repository}?blobs=true", hub.url))?;
    Listing::read(&answer)
        .ok_or_else(|| Error::file(repository, "the hub's list of its files is not understood"))
}

/// Fetches files of a repository into `folder`, each checked before it gets its name.
#[cfg(feature = "hub")]
pub fn fetch(
    hub: &Hub,
    repository: &str,
    revision: &str,
    wanted: &[Wanted],
    folder: &Path,
    label: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<RecordFile>> {
    let mut files = Vec::new();
    for file in wanted {
        if let Some(there) = part::complete(folder, file) {
            files.push(there);
            continue;
        }
        let url = format!("{}/{repository}/resolve/{revision}/{}", hub.url, super::http::escape(&file.name));
        files.push(super::http::download(hub, &url, file, folder, &mut |done, total| {
            progress(Progress { file: &file.name, done, total, source: label });
        })?);
    }
    Ok(files)
}

#[cfg(not(feature = "hub"))]
pub fn listing(_: &Hub, _: &str) -> Result<Listing> {
    Err(Error::Unsupported("this build cannot ask the hub: the feature `hub` is off".into()))
}

#[cfg(not(feature = "hub"))]
pub fn fetch(
    _: &Hub,
    _: &str,
    _: &str,
    _: &[Wanted],
    _: &Path,
    _: &str,
    _: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<RecordFile>> {
    Err(Error::Unsupported("this build cannot ask the hub: the feature `hub` is off".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_chosen() {
        let check = |names: &[&str], file: Option<&str>, expected: &str| {
            let chosen =
                choose("o/n", names, file).map(|names| names.join(" ")).unwrap_or_else(|e| e.to_string());
            assert_eq!(chosen, expected, "{names:?} {file:?}");
        };
        let quants = ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "mmproj-m.gguf", "README.md"];
        check(&quants, None, "m-Q4_K_M.gguf");
        check(&quants, Some("q8_0"), "m-Q8_0.gguf");
        check(&quants, Some("m-Q8_0.gguf"), "m-Q8_0.gguf");
        check(&quants, Some("Q2_K"), "o/n has no GGUF file Q2_K; it has m-Q8_0.gguf, m-Q4_K_M.gguf");
        check(
            &["a-f16.gguf", "b-f16.gguf"],
            None,
            "o/n has several models, say o/n:FILE; it has a-f16.gguf, b-f16.gguf",
        );
        check(
            &["a-f16.gguf", "b-f16.gguf"],
            Some("f16"),
            "o/n:f16 is ambiguous; it has a-f16.gguf, b-f16.gguf",
        );
        check(&["sub/only.gguf"], None, "sub/only.gguf");
        check(&["README.md"], None, "o/n has neither a GGUF file nor config.json with *.safetensors");
        check(
            &[
                "README.md",
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "onnx/model.onnx",
                "1_Pooling/config.json",
            ],
            None,
            "config.json tokenizer.json 1_Pooling/config.json model.safetensors",
        );
        let shards = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        check(&shards, None, &shards.join(" "));
        check(&shards[..2], None, "o/n has 1 of 2 weight files");
        let split = choose("o/n", &["m-00001-of-00002.gguf"], None).unwrap_err().to_string();
        assert!(split.contains("one piece of a split GGUF"), "{split}");
    }

    #[test]
    fn listings_are_read_with_suspicion() {
        let answer = serde_json::json!({
            "sha": "ab12", "tags": ["gguf", "license:mit"],
            "siblings": [
                {"rfilename": "a.gguf", "size": 5, "lfs": {"sha256": "AB".repeat(32), "size": 5}},
                {"rfilename": "../evil", "size": 5},
                {"rfilename": "/etc/passwd"},
                {"rfilename": "config.json", "size": 2, "lfs": {"sha256": "short"}},
                {"size": 3}
            ]
        });
        let listing = Listing::read(&answer).unwrap();
        assert_eq!((listing.names(), listing.licence.as_str()), (vec!["a.gguf", "config.json"], "mit"));
        assert_eq!(listing.files[0].sha256, Some("ab".repeat(32)));
        assert_eq!(listing.files[1].sha256, None);
        assert!(Listing::read(&serde_json::json!({"sha": "../x", "siblings": []})).is_none());
        assert!(Listing::read(&serde_json::json!([1, 2])).is_none());
    }
}
