//! The store on disk: where it is, the record beside each model, the locks.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Entry;
use super::name::{Name, is_safe_file};
use crate::error::{Error, Result};

const RECORD: &str = "aquatint.json";

/// What is known of a model in the store. Its presence says that all files are complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    /// What was asked for when it came: `ORG/NAME` may have chosen one file of several.
    pub asked: String,
    pub source: String,
    pub licence: String,
    pub page: String,
    /// Seconds since 1970.
    pub pulled_at: u64,
    pub files: Vec<RecordFile>,
}

/// One file of a [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordFile {
    /// Relative to the model's folder, with forward slashes.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Record {
    pub fn entry(&self, folder: &Path) -> Entry {
        Entry {
            name: self.name.clone(),
            path: match self.files.as_slice() {
                [one] => folder.join(&one.name),
                _ => folder.to_owned(),
            },
            bytes: self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
            source: self.source.clone(),
            licence: self.licence.clone(),
            pulled_at: Some(self.pulled_at),
        }
    }

    /// Whether every file is there with its size. Checksums are `verify`'s matter: reading gigabytes
    /// at every start would cost more than it protects from.
    pub fn is_complete(&self, folder: &Path) -> bool {
        let is_there = |file: &RecordFile| {
            std::fs::metadata(folder.join(&file.name)).is_ok_and(|found| found.len() == file.bytes)
        };
        !self.files.is_empty() && self.files.iter().all(is_there)
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(RECORD);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::file(path.display(), error.to_string()))?;
        let part = folder.join(format!("{RECORD}.part"));
        std::fs::write(&part, text + "\n").map_err(|error| Error::io(&part, error))?;
        std::fs::rename(&part, &path).map_err(|error| Error::io(&path, error))
    }

    /// The record of a folder, or none where there is none or it is not ours.
    fn read(folder: &Path) -> Option<Record> {
        let record: Record = serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()?;
        record.files.iter().all(|file| is_safe_file(&file.name)).then_some(record)
    }
}

/// Every model folder in the store with its record. A store that does not exist yet is empty.
pub fn records(store: &Path) -> Result<Vec<(PathBuf, Record)>> {
    let entries = match std::fs::read_dir(store) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(store, error)),
    };
    let folders = entries.flatten().map(|entry| entry.path());
    Ok(folders.filter_map(|folder| Record::read(&folder).map(|record| (folder, record))).collect())
}

/// The record of a model, by its own name or by what was asked for when it came.
pub fn find(store: &Path, name: &Name) -> Result<Option<(PathBuf, Record)>> {
    let folder = store.join(name.folder());
    let text = name.to_string();
    if let Some(record) = Record::read(&folder).filter(|record| record.name == text) {
        return Ok(Some((folder, record)));
    }
    match name {
        Name::Known(_) => Ok(None),
        Name::Hub { .. } => Ok(records(store)?.into_iter().find(|(_, record)| record.asked == text)),
    }
}

/// Sum of the sizes of the files directly in a folder.
pub fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(|data| data.is_file())
        .map(|data| data.len())
        .sum()
}

/// A pull that got nothing leaves nothing.
pub fn remove_if_empty(folder: &Path) {
    // Refused where something is in it, which is the point.
    let _ = std::fs::remove_dir(folder);
}

/// Held while it lives. The operating system frees it when the process ends, however it ends.
pub struct Lock {
    _file: Option<File>,
}

/// Makes `folder` and waits until no other process writes to it. `waiting` is called while it waits.
pub fn lock(store: &Path, folder: &Path, waiting: &mut dyn FnMut()) -> Result<Lock> {
    let locks = store.join(".locks");
    std::fs::create_dir_all(&locks).map_err(|error| Error::io(&locks, error))?;
    let path = locks.join(folder.file_name().unwrap_or_default());
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::io(&path, error))?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                waiting();
                std::thread::sleep(Duration::from_millis(200));
            }
            // Some network file systems have no locks; a single process must still work there.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
                return Ok(Lock { _file: None });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, error)),
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    Ok(Lock { _file: Some(file) })
}

/// `$AQUATINT_HOME/models`, else `aquatint/models` in the system's place for a user's data.
pub fn store_folder(set: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf> {
    if let Some(home) = set("AQUATINT_HOME") {
        return Ok(PathBuf::from(home).join("models"));
    }
    let data = if cfg!(windows) {
        set("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| PathBuf::from(home).join("Library/Application Support"))
    } else {
        // A relative XDG path is to be ignored, says the XDG base directory specification.
        let xdg = set("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        xdg.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")))
    };
    data.map(|data| data.join("aquatint").join("models")).ok_or_else(|| {
        Error::Input("no home folder to keep models in; set AQUATINT_HOME to a folder of your choice".into())
    })
}

/// The hub's cache folder, by the hub client's own rules.
pub fn hub_cache(set: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(cache) = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")) {
        return Some(cache.into());
    }
    if let Some(home) = set("HF_HOME") {
        return Some(PathBuf::from(home).join("hub"));
    }
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = set("HOME").or_else(|| set("USERPROFILE"));
        home.map(|home| PathBuf::from(home).join(".cache"))
    });
    cache.map(|cache| cache.join("huggingface").join("hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn places_follow_the_environment() {
        let store = |pairs| store_folder(&env(pairs)).map(|path| path.display().to_string());
        assert_eq!(
            store(&[("AQUATINT_HOME", "/a"), ("HOME", "/h")]).unwrap(),
            Path::new("/a").join("models").display().to_string()
        );
        assert!(store(&[]).unwrap_err().to_string().contains("AQUATINT_HOME"));
        let cache = |pairs| hub_cache(&env(pairs));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/f")]), Some("/c".into()));
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HOME", "/h")]), Some(Path::new("/f").join("hub")));
        assert_eq!(cache(&[("HOME", "/h")]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(cache(&[]), None);
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn a_relative_xdg_folder_is_ignored() {
        let store = |pairs| store_folder(&env(pairs)).map(|path| path.display().to_string());
        assert_eq!(store(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]).unwrap(), "/x/aquatint/models");
        assert_eq!(
            store(&[("XDG_DATA_HOME", "x"), ("HOME", "/h")]).unwrap(),
            "/h/.local/share/aquatint/models"
        );
    }
}
