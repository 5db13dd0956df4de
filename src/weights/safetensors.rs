//! The model hub's tensor files.
//!
//! ```text
//! header length: u64 | header: JSON | data
//! header  { name: { "dtype": "F32", "shape": [..], "data_offsets": [start, end] }, ..,
//!           "__metadata__": { .. } }
//! ```
//!
//! The authors' crate reads the header; limits, duplicate names and the mapping to weight formats are
//! ours. Source: <https://github.com/huggingface/safetensors>.

use std::collections::HashSet;
use std::fmt;

use safetensors::SafeTensors;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{Contents, IgnoredTensor, TensorInfo};
use crate::error::{Error, Result};
use crate::tensor::{Shape, format};

/// Headers in use are below 1 MiB. The reader takes several times the header's length in memory.
const HEADER_BYTES_MAX: u64 = 16 << 20;
const N_TENSORS_MAX: usize = 1 << 18;

/// Reads everything but the weights themselves. `file`: for messages; `index`: of this file.
pub(super) fn read(file: &str, index: usize, bytes: &[u8]) -> Result<Contents> {
    let header = header(file, bytes)?;
    check_names(file, header)?;
    let (header_bytes, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| Error::file(file, format!("not a valid safetensors file: {error}")))?;
    let data_start = 8 + header_bytes;

    let mut contents = Contents::default();
    for name in metadata.offset_keys() {
        let info = metadata.info(&name).expect("the names are the metadata's own");
        let shape = Shape::new(info.shape.clone());
        let dtype = info.dtype.to_string();
        if shape.dims().contains(&0) {
            contents.ignored.push(IgnoredTensor { name, shape, dtype: format!("{dtype} without elements") });
            continue;
        }
        // Plain number formats have the same names as here; quantised ones never come in this file.
        let known = ["F32", "F16", "BF16"].contains(&dtype.as_str());
        match format::by_name(&dtype) {
            Ok(format) if known => {
                let bytes = data_start + info.data_offsets.0..data_start + info.data_offsets.1;
                contents.tensors.push(TensorInfo { name, shape, format, file: index, bytes });
            }
            _ => contents.ignored.push(IgnoredTensor { name, shape, dtype }),
        }
    }
    Ok(contents)
}

fn header<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(Error::file(file, format!("{} bytes are too few for a safetensors file", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Err(Error::file(
            file,
            format!(
                "a header of {length} bytes is too long, at most {HEADER_BYTES_MAX}; is this a safetensors file?"
            ),
        ));
    }
    rest.get(..length as usize).ok_or_else(|| {
        Error::file(
            file,
            format!(
                "the header needs {length} bytes, {} remain; the file is truncated or damaged",
                rest.len()
            ),
        )
    })
}

/// The crate keeps the last of two tensors with one name without a word, and counts nothing.
fn check_names(file: &str, header: &[u8]) -> Result<()> {
    let mut json = serde_json::Deserializer::from_slice(header);
    json.deserialize_map(Names)
        .and_then(|()| json.end())
        .map_err(|error| Error::file(file, format!("the header is not valid: {error}")))
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if names.len() == N_TENSORS_MAX {
                return Err(A::Error::custom(format!("more than {N_TENSORS_MAX} tensors")));
            }
            if names.contains(&name) {
                return Err(A::Error::custom(format!("tensor {name} appears twice")));
            }
            names.insert(name);
        }
        Ok(())
    }
}
