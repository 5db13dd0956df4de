//! GGUF versions 2 and 3, little-endian.
//!
//! ```text
//! magic "GGUF" | version: u32 | n_tensors: u64 | n_keys: u64
//! n_keys times     key: string | type: u32 | value
//! n_tensors times  name: string | rank: u32 | extents: rank x u64, contiguous first | type: u32 | offset: u64
//! padding to general.alignment (32 unless that key says otherwise)
//! data             tensor at data + offset, offset a multiple of the alignment
//!
//! string           length: u64 | UTF-8 bytes
//! array            type: u32 | length: u64 | values
//! ```
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod reader;
mod write;

use std::collections::HashSet;
use std::ops::Range;

use super::{Contents, IgnoredTensor, Metadata, TensorInfo, Value};
use crate::error::{Error, Result};
use crate::tensor::{Shape, format};
use reader::Reader;
pub use write::{NewTensor, write, write_to};

pub const MAGIC: &[u8; 4] = b"GGUF";

const VERSION: u32 = 3;
const ALIGNMENT: usize = 32;
const ALIGNMENT_KEY: &str = "general.alignment";
/// Far above any file in use (32 to 4096).
const ALIGNMENT_MAX: usize = 1 << 16;
/// The format document allows keys of 65535 bytes, tensor names of 64 and any string.
const KEY_BYTES_MAX: usize = 65535;
const NAME_BYTES_MAX: usize = 1024;
const STRING_BYTES_MAX: usize = 16 << 20;
/// The least that a key with a one-byte value and a tensor of rank 1 take: what bounds their counts.
const KEY_BYTES_MIN: usize = 8 + 4 + 1;
const TENSOR_BYTES_MIN: usize = 8 + 4 + 8 + 4 + 8;

/// Reads everything but the weights themselves. `file`: for messages.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Contents> {
    let mut reader = Reader::new(file, bytes);
    let magic = reader.take(4, &"the magic")?;
    if magic != MAGIC {
        return Err(Error::file(
            file,
            format!("not a GGUF file: it starts with {:02x?}, not \"GGUF\"", magic),
        ));
    }
    check_version(file, reader.u32(&"the version")?)?;
    let n_tensors = reader.count(TENSOR_BYTES_MIN, &"the number of tensors")?;
    let n_keys = reader.count(KEY_BYTES_MIN, &"the number of keys")?;

    let mut metadata = Metadata::new(file);
    for index in 0..n_keys {
        let key = reader.string(KEY_BYTES_MAX, &format_args!("key {index}"))?;
        let value = read_value(&mut reader, &key)?;
        metadata.insert(key, value)?;
    }
    refuse_split(file, &metadata)?;
    let alignment = read_alignment(file, &metadata)?;

    let mut directory = Vec::new();
    for index in 0..n_tensors {
        directory.push(read_entry(&mut reader, index)?);
    }
    let data_start = reader.at().next_multiple_of(alignment);
    place_tensors(file, metadata, directory, data_start, alignment, bytes.len())
}

fn check_version(file: &str, version: u32) -> Result<()> {
    match version {
        2 | 3 => Ok(()),
        1 => Err(Error::Unsupported(format!(
            "{file}: GGUF version 1 is not supported; convert the model anew"
        ))),
        _ if (1..=VERSION).contains(&version.swap_bytes()) => Err(Error::Unsupported(format!(
            "{file}: big-endian GGUF is not supported; convert it to little-endian"
        ))),
        _ => Err(Error::Unsupported(format!(
            "{file}: GGUF version {version} is not supported; supported: 2, 3"
        ))),
    }
}

fn refuse_split(file: &str, metadata: &Metadata) -> Result<()> {
    match metadata.optional::<u64>("split.count")? {
        Some(n_parts) if n_parts > 1 => Err(Error::Unsupported(format!(
            "{file}: this is one of {n_parts} parts of a model; join them with llama-gguf-split --merge"
        ))),
        _ => Ok(()),
    }
}

fn read_alignment(file: &str, metadata: &Metadata) -> Result<usize> {
    let Some(alignment) = metadata.optional::<usize>(ALIGNMENT_KEY)? else { return Ok(ALIGNMENT) };
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
        return Err(Error::file(
            file,
            format!("key {ALIGNMENT_KEY}: expected a power of two up to {ALIGNMENT_MAX}, found {alignment}"),
        ));
    }
    Ok(alignment)
}

fn read_value(reader: &mut Reader, key: &str) -> Result<Value> {
    let what = format!("key {key}");
    let kind = reader.u32(&what)?;
    if kind != kind::ARRAY {
        return read_scalar(reader, kind, &what);
    }
    let kind = reader.u32(&what)?;
    Ok(match kind {
        kind::U8 => Value::U8s(reader.array(&what, u8::from_le_bytes)?),
        kind::I8 => Value::I8s(reader.array(&what, i8::from_le_bytes)?),
        kind::U16 => Value::U16s(reader.array(&what, u16::from_le_bytes)?),
        kind::I16 => Value::I16s(reader.array(&what, i16::from_le_bytes)?),
        kind::U32 => Value::U32s(reader.array(&what, u32::from_le_bytes)?),
        kind::I32 => Value::I32s(reader.array(&what, i32::from_le_bytes)?),
        kind::U64 => Value::U64s(reader.array(&what, u64::from_le_bytes)?),
        kind::I64 => Value::I64s(reader.array(&what, i64::from_le_bytes)?),
        kind::F32 => Value::F32s(reader.array(&what, f32::from_le_bytes)?),
        kind::F64 => Value::F64s(reader.array(&what, f64::from_le_bytes)?),
        kind::BOOL => {
            let n = reader.count(1, &what)?;
            let bools = (0..n).map(|_| reader.bool(&what));
            Value::Bools(bools.collect::<Result<_>>()?)
        }
        kind::STRING => {
            // A string takes at least the 8 bytes of its length.
            let n = reader.count(8, &what)?;
            let strings =
                (0..n).map(|index| reader.string(STRING_BYTES_MAX, &format_args!("{what}, string {index}")));
            Value::Strings(strings.collect::<Result<_>>()?)
        }
        kind::ARRAY => return Err(reader.error(format!("{what}: arrays of arrays are not supported"))),
        _ => return Err(reader.error(format!("{what}: unknown array type {kind}"))),
    })
}

fn read_scalar(reader: &mut Reader, kind: u32, what: &str) -> Result<Value> {
    Ok(match kind {
        kind::U8 => Value::U8(reader.number(&what, u8::from_le_bytes)?),
        kind::I8 => Value::I8(reader.number(&what, i8::from_le_bytes)?),
        kind::U16 => Value::U16(reader.number(&what, u16::from_le_bytes)?),
        kind::I16 => Value::I16(reader.number(&what, i16::from_le_bytes)?),
        kind::U32 => Value::U32(reader.number(&what, u32::from_le_bytes)?),
        kind::I32 => Value::I32(reader.number(&what, i32::from_le_bytes)?),
        kind::U64 => Value::U64(reader.number(&what, u64::from_le_bytes)?),
        kind::I64 => Value::I64(reader.number(&what, i64::from_le_bytes)?),
        kind::F32 => Value::F32(reader.number(&what, f32::from_le_bytes)?),
        kind::F64 => Value::F64(reader.number(&what, f64::from_le_bytes)?),
        kind::BOOL => Value::Bool(reader.bool(&what)?),
        kind::STRING => Value::String(reader.string(STRING_BYTES_MAX, &what)?),
        _ => return Err(reader.error(format!("{what}: unknown type {kind}"))),
    })
}

/// The type numbers of values.
mod kind {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

/// One entry of the tensor directory, as the file has it.
struct Entry {
    name: String,
    shape: Shape,
    kind: u32,
    offset: u64,
}

fn read_entry(reader: &mut Reader, index: usize) -> Result<Entry> {
    let name = reader.string(NAME_BYTES_MAX, &format_args!("the name of tensor {index}"))?;
    let what = format!("tensor {name}");
    let rank = reader.u32(&what)?;
    if !(1..=4).contains(&rank) {
        return Err(reader.error(format!("{what}: expected 1 to 4 dimensions, found {rank}")));
    }
    let mut dims = Vec::with_capacity(4);
    for _ in 0..rank {
        let extent = reader.u64(&what)?;
        match usize::try_from(extent) {
            Ok(extent) if extent > 0 => dims.push(extent),
            _ => return Err(reader.error(format!("{what}: a dimension of {extent} is not possible"))),
        }
    }
    // The file lists the contiguous dimension first.
    dims.reverse();
    Ok(Entry { name, shape: Shape::new(dims), kind: reader.u32(&what)?, offset: reader.u64(&what)? })
}

fn place_tensors(
    file: &str,
    metadata: Metadata,
    directory: Vec<Entry>,
    data_start: usize,
    alignment: usize,
    file_bytes: usize,
) -> Result<Contents> {
    let mut contents = Contents { metadata, ..Contents::default() };
    let mut names = HashSet::new();
    for Entry { name, shape, kind, offset } in directory {
        let error = |message: String| Error::file(file, format!("tensor {name}: {message}"));
        if !names.insert(name.clone()) {
            return Err(error("appears twice".into()));
        }
        if let Some(dtype) = format::plain_number(kind) {
            contents.ignored.push(IgnoredTensor { name, shape, dtype: dtype.into() });
            continue;
        }
        let format = format::by_gguf_type(kind).map_err(|refusal| error(refusal.to_string()))?;
        let row_bytes = format.row_bytes(shape.n_columns()).map_err(|refusal| error(refusal.to_string()))?;
        // The product of the rows has not been checked to fit before this.
        let n_bytes = shape.n_elements().and_then(|n| (n / shape.n_columns()).checked_mul(row_bytes));
        let range = n_bytes.and_then(|n| place(data_start, offset, n));
        let bytes = match range {
            Some(bytes) if bytes.end <= file_bytes => bytes,
            _ => {
                return Err(error(format!(
                    "{shape} of {} at offset {offset} of the data does not fit in the file, which has {} bytes of data",
                    format.name,
                    file_bytes.saturating_sub(data_start)
                )));
            }
        };
        if !bytes.start.is_multiple_of(alignment) {
            return Err(error(format!("offset {offset} is not a multiple of the alignment {alignment}")));
        }
        contents.tensors.push(TensorInfo { name, shape, format, file: 0, bytes });
    }
    refuse_overlaps(file, &contents.tensors)?;
    Ok(contents)
}

fn place(data_start: usize, offset: u64, n_bytes: usize) -> Option<Range<usize>> {
    let start = data_start.checked_add(usize::try_from(offset).ok()?)?;
    Some(start..start.checked_add(n_bytes)?)
}

fn refuse_overlaps(file: &str, tensors: &[TensorInfo]) -> Result<()> {
    let mut by_start: Vec<&TensorInfo> = tensors.iter().collect();
    by_start.sort_by_key(|tensor| tensor.bytes.start);
    for pair in by_start.windows(2) {
        if pair[0].bytes.end > pair[1].bytes.start {
            return Err(Error::file(
                file,
                format!(
                    "tensors {} and {} overlap at byte {}",
                    pair[0].name, pair[1].name, pair[1].bytes.start
                ),
            ));
        }
    }
    Ok(())
}
