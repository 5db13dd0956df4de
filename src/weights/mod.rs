//! Model files: names, shapes, metadata, mapped bytes. Pure: no GPU.
//!
//! Every count, length and offset of a file is checked against the bytes that remain before anything
//! is allocated for it; a broken or hostile file is an error that names the place.

pub mod gguf;
mod llama2c;
mod metadata;
mod open;
mod safetensors;
mod synthetic;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::tensor::format;
use crate::tensor::{Format, Shape};
pub use metadata::{FromValue, Metadata, Value};
pub use synthetic::SyntheticRows;
pub(crate) use synthetic::vector_format;

/// What kind of file a model came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// One file with metadata, tokenizer and tensors.
    Gguf,
    /// The model hub's tensors, in one file or in shards, beside a `config.json`.
    Safetensors,
    /// The checkpoint of llama2.c: a header of 7 integers and f32 arrays.
    Llama2c,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::Gguf => "GGUF",
            Container::Safetensors => "safetensors",
            Container::Llama2c => "llama2.c",
        })
    }
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// As in the file; for llama2.c, which has no names, as a GGUF file would call it.
    pub name: String,
    /// Row-major.
    pub shape: Shape,
    pub format: &'static Format,
    /// Which of the model's files.
    pub file: usize,
    /// The bytes in that file: `n_rows` times `format.row_bytes(n_columns)`.
    pub bytes: Range<usize>,
}

/// A tensor in a type that is no weight format, such as a buffer of integers. Asking for it is an
/// error; that it is there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct IgnoredTensor {
    pub name: String,
    pub shape: Shape,
    /// As the file calls it: `I64`.
    pub dtype: String,
}

/// What a reader finds in one file.
#[derive(Debug, Default)]
struct Contents {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    ignored: Vec<IgnoredTensor>,
}

struct MappedFile {
    path: PathBuf,
    bytes: Mmap,
}

/// The files of a model, mapped.
pub struct Weights {
    path: PathBuf,
    container: Container,
    metadata: Metadata,
    config: Option<serde_json::Value>,
    files: Vec<MappedFile>,
    tensors: Vec<TensorInfo>,
    ignored: Vec<IgnoredTensor>,
    /// Indices into `tensors`.
    by_name: HashMap<String, usize>,
    /// What stands for files where the weights are made up.
    pools: Option<synthetic::Pools>,
}

impl Weights {
    /// Opens a GGUF file, a llama2.c `.bin` file, a `.safetensors` file, or a folder with `config.json`
    /// and `model.safetensors` or the shards that `model.safetensors.index.json` lists.
    pub fn open(path: impl AsRef<Path>) -> Result<Weights> {
        open::open(path.as_ref())
    }

    pub fn container(&self) -> Container {
        self.container
    }

    /// The keys of a GGUF file; for llama2.c, its header as GGUF keys; empty for safetensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The `config.json` beside safetensors.
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.config.as_ref()
    }

    /// All weights, in the order of the files.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// The tensors that are no weights.
    pub fn ignored(&self) -> &[IgnoredTensor] {
        &self.ignored
    }

    /// A weight that the model cannot do without.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo> {
        if let Some(tensor) = self.find(name) {
            return Ok(tensor);
        }
        Err(Error::tensor(
            name,
            match self.ignored.iter().find(|ignored| ignored.name == name) {
                Some(ignored) => {
                    format!(
                        "stored as {}, which is not supported; supported: {}",
                        ignored.dtype,
                        format::names()
                    )
                }
                None => format!("not among the {} tensors of {}", self.tensors.len(), self.path.display()),
            },
        ))
    }

    /// A weight that the model may lack.
    pub fn find(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.tensors[index])
    }

    /// The bytes of a tensor of these weights.
    ///
    /// Those of a synthetic matrix do not exist; see [`Weights::synthetic_rows`].
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        if let Some(bytes) = self.synthetic_vector(tensor) {
            return bytes;
        }
        &self.files[tensor.file].bytes[tensor.bytes.clone()]
    }

    /// The bytes of row `row` of a tensor of these weights.
    pub fn row(&self, tensor: &TensorInfo, row: usize) -> &[u8] {
        let row_bytes = tensor.bytes.len().checked_div(tensor.shape.n_rows()).unwrap_or(0);
        &self.bytes(tensor)[row * row_bytes..][..row_bytes]
    }

    /// What was opened: a file or a folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold tensors, by [`TensorInfo::file`].
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The bytes of all weights.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// Asks the system to read a tensor ahead. Only a hint: what it does and whether it fails do not
    /// matter to the caller.
    pub fn prefetch(&self, tensor: &TensorInfo) {
        #[cfg(unix)]
        let _ = self.files[tensor.file].bytes.advise_range(
            memmap2::Advice::WillNeed,
            tensor.bytes.start,
            tensor.bytes.len(),
        );
        #[cfg(not(unix))]
        let _ = tensor;
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} tensors", self.container, self.path.display(), self.tensors.len())
    }
}
