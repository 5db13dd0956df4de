//! The one error type of the library.

use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Messages name the thing, what was expected, what was found and,
/// where there is something to do, what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, read or write a file.
    #[error("{}: {message}", path.display())]
    Io { path: PathBuf, message: String },
    /// A file is malformed: truncated, inconsistent or hostile.
    #[error("{file}: {message}")]
    File { file: String, message: String },
    /// The input is valid but asks for something this program does not have.
    #[error("{0}")]
    Unsupported(String),
    /// An argument, a prompt or an option is wrong.
    #[error("{0}")]
    Input(String),
    /// A tensor is absent or has another shape than the model's description asks for.
    #[error("tensor {name}: {message}")]
    Tensor { name: String, message: String },
    /// Text cannot be tokenised or a chat template cannot be rendered.
    #[error("{0}")]
    Text(String),
    /// No adapter fits what was asked for.
    #[error("{0}")]
    Adapter(String),
    /// The device does not have the memory. Sizes in bytes; `advice` says what to change.
    #[error("needs {} of GPU memory, {} available{}", Bytes(*need), have.map_or("less is".into(), |have| Bytes(have).to_string()), if advice.is_empty() { String::new() } else { format!("; {advice}") })]
    OutOfMemory { need: u64, have: Option<u64>, advice: String },
    /// The driver or the device failed: validation, device loss, a kernel that does not compile.
    #[error("{0}")]
    Gpu(String),
    /// The caller cancelled the operation.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Error {
        Error::Io { path: path.as_ref().to_owned(), message: source.to_string() }
    }

    pub fn file(file: impl ToString, message: impl Into<String>) -> Error {
        Error::File { file: file.to_string(), message: shortened(message.into()) }
    }

    pub fn tensor(name: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Tensor { name: name.into(), message: message.into() }
    }
}

/// Messages quote what was found, which may be a megabyte of a damaged file: its beginning will do.
pub fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(600) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// A number of bytes for people: `9.1 GiB`, `512 B`.
pub struct Bytes(pub u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}
