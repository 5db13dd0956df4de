//! Finds out what a path is, maps its files and joins what the readers find.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use serde::Deserialize;

use super::{Container, Contents, MappedFile, Metadata, Weights, gguf, llama2c, safetensors};
use crate::error::{Bytes, Error, Result};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What a JSON file may take. Configurations are a few KiB, the largest indices a few MiB.
const CONFIG_BYTES_MAX: u64 = 2 << 20;
const INDEX_BYTES_MAX: u64 = 64 << 20;
const N_SHARDS_MAX: usize = 4096;
const CONVERT: &str = "is a PyTorch pickle, which can run code when it is read; convert it to safetensors";

pub(super) fn open(path: &Path) -> Result<Weights> {
    let kind = fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if kind.is_dir() { open_folder(path) } else { open_file(path) }
}

fn open_file(path: &Path) -> Result<Weights> {
    let mapped = map(path)?;
    let file = path.display().to_string();
    let container = container_of(path, &mapped.bytes)?;
    let contents = match container {
        Container::Gguf => gguf::read(&file, &mapped.bytes)?,
        Container::Llama2c => llama2c::read(&file, &mapped.bytes)?,
        Container::Safetensors => safetensors::read(&file, 0, &mapped.bytes)?,
    };
    let config_path = path.with_file_name(CONFIG);
    let config = if container == Container::Safetensors && config_path.is_file() {
        Some(read_json(&config_path, CONFIG_BYTES_MAX)?)
    } else {
        None
    };
    join(path, container, config, vec![(mapped, contents)])
}

/// By the first bytes; llama2.c, which has no magic, by `.bin`.
fn container_of(path: &Path, bytes: &[u8]) -> Result<Container> {
    let file = path.display();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let unsupported = |message: String| Err(Error::Unsupported(message));
    // Pickles: a zip archive, or the mark of the pickle protocol that older files start with. Two
    // bytes of it are also a llama2.c dimension of 640, whose third byte is zero.
    let is_bare_pickle = matches!(bytes, [0x80, 2..=5, third, ..] if *third != 0);
    let is_pickle = bytes.starts_with(b"PK\x03\x04") || is_bare_pickle;
    if bytes.starts_with(gguf::MAGIC) {
        Ok(Container::Gguf)
    } else if is_pickle && extension != "safetensors" {
        unsupported(format!("{file} {CONVERT}"))
    } else if [b"lmgg", b"tjgg", b"fmgg"].iter().any(|magic| bytes.starts_with(*magic)) {
        unsupported(format!("{file} is a GGML file from before GGUF; convert the model anew"))
    } else if bytes.starts_with(b"version https://git-lfs") {
        unsupported(format!("{file} is a pointer of Git LFS, not the model; fetch it with git lfs pull"))
    } else if extension == "safetensors" {
        Ok(Container::Safetensors)
    } else if extension == "bin" || bytes.starts_with(llama2c::LATER_MAGIC) {
        Ok(Container::Llama2c)
    } else if bytes.get(8) == Some(&b'{') {
        Ok(Container::Safetensors)
    } else {
        let start = &bytes[..bytes.len().min(4)];
        Err(Error::file(
            file,
            format!(
                "not a model file: expected GGUF, safetensors or llama2.c (.bin), found the bytes {start:02x?}"
            ),
        ))
    }
}

fn open_folder(folder: &Path) -> Result<Weights> {
    let shards = find_shards(folder)?;
    let config = read_json(&folder.join(CONFIG), CONFIG_BYTES_MAX)?;
    let mut files = Vec::new();
    for (index, path) in shards.paths.iter().enumerate() {
        let mapped = map(path)?;
        let contents = safetensors::read(&path.display().to_string(), index, &mapped.bytes)?;
        files.push((mapped, contents));
    }
    if let Some((index_path, weight_map)) = shards.index {
        check_index(&index_path, &weight_map, &files)?;
    }
    join(folder, Container::Safetensors, Some(config), files)
}

struct Shards {
    paths: Vec<PathBuf>,
    /// The index and, for each of its tensors, which file it says.
    index: Option<(PathBuf, HashMap<String, usize>)>,
}

fn find_shards(folder: &Path) -> Result<Shards> {
    let single = folder.join(SINGLE);
    if single.is_file() {
        return Ok(Shards { paths: vec![single], index: None });
    }
    let index_path = folder.join(INDEX);
    if index_path.is_file() {
        return read_index(folder, index_path);
    }
    let pickle = folder.join("pytorch_model.bin");
    if pickle.is_file() || folder.join("pytorch_model.bin.index.json").is_file() {
        return Err(Error::Unsupported(format!("{} {CONVERT}", pickle.display())));
    }
    Err(Error::file(
        folder.display(),
        format!("this folder has neither {SINGLE} nor {INDEX}; for a GGUF model, name the file itself"),
    ))
}

#[derive(Deserialize)]
struct Index {
    /// Tensor name to shard name.
    weight_map: serde_json::Map<String, serde_json::Value>,
}

fn read_index(folder: &Path, index_path: PathBuf) -> Result<Shards> {
    let error = |message: String| Error::file(index_path.display(), message);
    let index: Index = read_json(&index_path, INDEX_BYTES_MAX)?;
    let mut paths = Vec::new();
    let mut by_shard: HashMap<String, usize> = HashMap::new();
    let mut by_tensor = HashMap::new();
    for (tensor, shard) in index.weight_map {
        let serde_json::Value::String(shard) = shard else {
            return Err(error(format!("tensor {tensor}: expected the name of a file, found {shard}")));
        };
        let next = by_shard.len();
        let number = *by_shard.entry(shard.clone()).or_insert(next);
        if number == next {
            if !is_plain_file_name(&shard) {
                return Err(error(format!("{shard:?} is not the name of a file in this folder")));
            }
            if next == N_SHARDS_MAX {
                return Err(error(format!("more than {N_SHARDS_MAX} files")));
            }
            paths.push(folder.join(&shard));
        }
        by_tensor.insert(tensor, number);
    }
    if paths.is_empty() {
        return Err(error("lists no tensors".into()));
    }
    Ok(Shards { paths, index: Some((index_path, by_tensor)) })
}

/// One name, no way out of the folder, on any system.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    one && !name.contains(['/', '\\', ':', '\0'])
}

fn check_index(
    index_path: &Path,
    by_tensor: &HashMap<String, usize>,
    files: &[(MappedFile, Contents)],
) -> Result<()> {
    let mut n_found = 0;
    for (number, (_, contents)) in files.iter().enumerate() {
        let names = contents.tensors.iter().map(|tensor| &tensor.name);
        let ignored = contents.ignored.iter().map(|tensor| &tensor.name);
        n_found += names.chain(ignored).filter(|name| by_tensor.get(*name) == Some(&number)).count();
    }
    if n_found == by_tensor.len() {
        return Ok(());
    }
    let is_missing = |name: &str, number: usize| {
        let contents = &files[number].1;
        !contents.tensors.iter().any(|tensor| tensor.name == name)
            && !contents.ignored.iter().any(|tensor| tensor.name == name)
    };
    let missing = by_tensor.iter().filter(|(name, number)| is_missing(name, **number)).min();
    let (name, number) = missing.expect("fewer were found than are listed");
    Err(Error::file(
        index_path.display(),
        format!("says that tensor {name} is in {}, where it is not", files[*number].0.path.display()),
    ))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, bytes_max: u64) -> Result<T> {
    let n_bytes = fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
    if n_bytes > bytes_max {
        return Err(Error::file(
            path.display(),
            format!("{} is too long, at most {}", Bytes(n_bytes), Bytes(bytes_max)),
        ));
    }
    let text = fs::read(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_slice(&text).map_err(|error| Error::file(path.display(), format!("not valid: {error}")))
}

fn map(path: &Path) -> Result<MappedFile> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let kind = file.metadata().map_err(|error| Error::io(path, error))?;
    if !kind.is_file() {
        return Err(Error::file(path.display(), "not a file"));
    }
    if kind.len() == 0 {
        return Err(Error::file(path.display(), "the file is empty"));
    }
    // SAFETY: a mapping is sound as long as nobody changes the file while it is in use. As with every
    // program that maps its models, that is up to the user; we never write to the file.
    let bytes = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, error))?;
    Ok(MappedFile { path: path.to_owned(), bytes })
}

fn join(
    path: &Path,
    container: Container,
    config: Option<serde_json::Value>,
    parts: Vec<(MappedFile, Contents)>,
) -> Result<Weights> {
    let mut weights = Weights {
        path: path.to_owned(),
        container,
        metadata: Metadata::new(path.display().to_string()),
        config,
        files: Vec::new(),
        tensors: Vec::new(),
        ignored: Vec::new(),
        by_name: HashMap::new(),
        pools: None,
    };
    for (mapped, contents) in parts {
        if container != Container::Safetensors {
            weights.metadata = contents.metadata;
        }
        for tensor in contents.tensors {
            if weights.by_name.insert(tensor.name.clone(), weights.tensors.len()).is_some() {
                let message = format!("tensor {} is in an earlier file, too", tensor.name);
                return Err(Error::file(mapped.path.display(), message));
            }
            weights.tensors.push(tensor);
        }
        weights.ignored.extend(contents.ignored);
        weights.files.push(mapped);
    }
    Ok(weights)
}
