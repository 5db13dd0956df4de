//! A file on its way: written as `NAME.part`, checked, and only then given its name.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::folder::RecordFile;
use super::known::KnownFile;
use crate::error::{Error, Result};

/// A file to fetch and what is known of it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    pub bytes: Option<u64>,
    /// 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
}

impl From<&KnownFile> for Wanted {
    fn from(file: &KnownFile) -> Wanted {
        Wanted { name: file.name.into(), bytes: Some(file.bytes), sha256: Some(file.sha256.into()) }
    }
}

/// What has arrived of one file.
pub struct Part<'a> {
    wanted: &'a Wanted,
    target: PathBuf,
    path: PathBuf,
    /// None once it has its name.
    file: Option<File>,
    hash: Sha256,
    /// Bytes here so far.
    pub done: u64,
    /// Whether some of them are of an earlier attempt.
    pub resumed: bool,
}

impl<'a> Part<'a> {
    /// Opens `NAME.part` in `folder`. With `resume`, what it holds is kept and counted.
    pub fn open(folder: &Path, wanted: &'a Wanted, resume: bool) -> Result<Part<'a>> {
        let target = folder.join(&wanted.name);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        let path = part_path(&target);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!resume)
            .open(&path)
            .map_err(|error| Error::io(&path, error))?;
        // Without a checksum nothing would tell that the two halves are of different files.
        let (done, hash) = match wanted.sha256 {
            Some(_) => digest(&mut file, &path, &mut |_| {})?,
            None => (0, Sha256::new()),
        };
        let mut part = Part { wanted, target, path, file: Some(file), hash, done, resumed: done > 0 };
        if done == 0 || wanted.bytes.is_some_and(|bytes| done > bytes) {
            part.restart()?;
        }
        Ok(part)
    }

    /// Forgets what has arrived.
    pub fn restart(&mut self) -> Result<()> {
        let mut file = self.file();
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .map_err(|error| Error::io(&self.path, error))?;
        self.hash = Sha256::new();
        (self.done, self.resumed) = (0, false);
        Ok(())
    }

    /// Appends `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let done = self.done.saturating_add(bytes.len() as u64);
        if let Some(expected) = self.wanted.bytes.filter(|expected| done > *expected) {
            self.restart()?;
            return Err(Error::file(
                &self.wanted.name,
                format!("more than the expected {expected} bytes came"),
            ));
        }
        self.file().write_all(bytes).map_err(|error| Error::io(&self.path, error))?;
        self.hash.update(bytes);
        self.done = done;
        Ok(())
    }

    #[cfg(feature = "hub")]
    pub fn is_full(&self) -> bool {
        self.wanted.bytes == Some(self.done)
    }

    /// Checks size and checksum and gives the file its name. A file with a wrong checksum is deleted;
    /// a short one stays to be continued.
    pub fn finish(mut self) -> Result<RecordFile> {
        if let Some(bytes) = self.wanted.bytes.filter(|bytes| *bytes != self.done) {
            return Err(Error::file(&self.wanted.name, format!("{} of {bytes} bytes came", self.done)));
        }
        let sha256 = hex(self.hash.clone());
        if let Some(expected) = self.wanted.sha256.as_ref().filter(|expected| **expected != sha256) {
            let message = format!("its SHA-256 is {sha256}, expected {expected}");
            self.restart()?;
            return Err(Error::file(&self.wanted.name, message));
        }
        self.file().sync_all().map_err(|error| Error::io(&self.path, error))?;
        // Windows does not rename a file that is open.
        self.file = None;
        std::fs::rename(&self.path, &self.target).map_err(|error| Error::io(&self.target, error))?;
        Ok(RecordFile { name: self.wanted.name.clone(), bytes: self.done, sha256 })
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("only the end of `finish` takes it")
    }
}

impl Drop for Part<'_> {
    /// An empty part says nothing to the next pull.
    fn drop(&mut self) {
        if self.file.take().is_some() && self.done == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file that an earlier pull has completed, if its bytes are the wanted ones.
pub fn complete(folder: &Path, wanted: &Wanted) -> Option<RecordFile> {
    let expected = wanted.sha256.as_ref()?;
    let path = folder.join(&wanted.name);
    if std::fs::metadata(&path).ok()?.len() != wanted.bytes? {
        return None;
    }
    let (bytes, sha256) = checksum(&path, &mut |_| {}).ok()?;
    (sha256 == *expected).then(|| RecordFile { name: wanted.name.clone(), bytes, sha256 })
}

/// A file's size and SHA-256. `progress` gets the bytes read so far.
pub fn checksum(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    let (bytes, hash) = digest(&mut file, path, progress)?;
    Ok((bytes, hex(hash)))
}

fn digest(file: &mut File, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(u64, Sha256)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let n_bytes = match file.read(&mut buffer) {
            Ok(0) => return Ok((done, hash)),
            Ok(n_bytes) => n_bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(path, error)),
        };
        hash.update(&buffer[..n_bytes]);
        done += n_bytes as u64;
        progress(done);
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn part_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
