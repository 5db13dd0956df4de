//! Writes GGUF version 3.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{ALIGNMENT, ALIGNMENT_KEY, MAGIC, VERSION, kind};
use crate::error::{Error, Result};
use crate::tensor::{Format, Shape};
use crate::weights::{Metadata, Value};

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct NewTensor {
    pub name: String,
    /// Row-major.
    pub shape: Shape,
    pub format: &'static Format,
}

impl NewTensor {
    fn n_bytes(&self) -> Result<usize> {
        let rank = self.shape.dims().len();
        if !(1..=4).contains(&rank) || self.shape.dims().contains(&0) {
            return Err(Error::tensor(&self.name, format!("shape {} cannot be written to GGUF", self.shape)));
        }
        let row_bytes = self
            .format
            .row_bytes(self.shape.n_columns())
            .map_err(|refusal| Error::tensor(&self.name, refusal.to_string()))?;
        self.shape
            .n_elements()
            .and_then(|n| (n / self.shape.n_columns()).checked_mul(row_bytes))
            .ok_or_else(|| Error::tensor(&self.name, format!("shape {} is too large", self.shape)))
    }
}

/// Writes a file; see [`write_to`].
pub fn write<'a>(
    path: &Path,
    metadata: &Metadata,
    tensors: &[NewTensor],
    data: impl FnMut(usize) -> Result<Cow<'a, [u8]>>,
) -> Result<()> {
    let mut out = BufWriter::new(File::create(path).map_err(|error| Error::io(path, error))?);
    write_to(&mut out, path, metadata, tensors, data)?;
    out.flush().map_err(|error| Error::io(path, error))
}

/// Writes metadata and tensors with an alignment of 32. `data(i)` gives the bytes of `tensors[i]`,
/// once each and in order, so that no more than one tensor need be in memory. `path`: for messages.
pub fn write_to<'a>(
    out: &mut impl Write,
    path: &Path,
    metadata: &Metadata,
    tensors: &[NewTensor],
    mut data: impl FnMut(usize) -> Result<Cow<'a, [u8]>>,
) -> Result<()> {
    let failed = |error| Error::io(path, error);
    let mut header = Vec::new();
    put_header(&mut header, metadata, tensors)?;
    out.write_all(&header).map_err(failed)?;
    pad(out, header.len()).map_err(failed)?;
    for (index, tensor) in tensors.iter().enumerate() {
        let (bytes, expected) = (data(index)?, tensor.n_bytes()?);
        if bytes.len() != expected {
            let message = format!("expected {expected} bytes of {}, got {}", tensor.format.name, bytes.len());
            return Err(Error::tensor(&tensor.name, message));
        }
        out.write_all(&bytes).map_err(failed)?;
        pad(out, bytes.len()).map_err(failed)?;
    }
    Ok(())
}

fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}

fn put_header(out: &mut Vec<u8>, metadata: &Metadata, tensors: &[NewTensor]) -> Result<()> {
    // The alignment is ours, whatever the file had that the keys come from.
    let keys: Vec<_> = metadata.iter().filter(|(key, _)| *key != ALIGNMENT_KEY).collect();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((keys.len() as u64).to_le_bytes());
    for (key, value) in keys {
        put_string(out, key);
        put_value(out, value);
    }
    let mut offset = 0;
    for tensor in tensors {
        let dims = tensor.shape.dims();
        let n_bytes = tensor.n_bytes()?;
        put_string(out, &tensor.name);
        out.extend((dims.len() as u32).to_le_bytes());
        for &extent in dims.iter().rev() {
            out.extend((extent as u64).to_le_bytes());
        }
        out.extend(tensor.format.gguf_type.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += n_bytes.next_multiple_of(ALIGNMENT);
    }
    Ok(())
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => put_scalar(out, kind::U8, n.to_le_bytes()),
        Value::I8(n) => put_scalar(out, kind::I8, n.to_le_bytes()),
        Value::U16(n) => put_scalar(out, kind::U16, n.to_le_bytes()),
        Value::I16(n) => put_scalar(out, kind::I16, n.to_le_bytes()),
        Value::U32(n) => put_scalar(out, kind::U32, n.to_le_bytes()),
        Value::I32(n) => put_scalar(out, kind::I32, n.to_le_bytes()),
        Value::U64(n) => put_scalar(out, kind::U64, n.to_le_bytes()),
        Value::I64(n) => put_scalar(out, kind::I64, n.to_le_bytes()),
        Value::F32(x) => put_scalar(out, kind::F32, x.to_le_bytes()),
        Value::F64(x) => put_scalar(out, kind::F64, x.to_le_bytes()),
        Value::Bool(b) => put_scalar(out, kind::BOOL, [u8::from(*b)]),
        Value::String(text) => {
            out.extend(kind::STRING.to_le_bytes());
            put_string(out, text);
        }
        Value::U8s(v) => put_array(out, kind::U8, v, |n| n.to_le_bytes()),
        Value::I8s(v) => put_array(out, kind::I8, v, |n| n.to_le_bytes()),
        Value::U16s(v) => put_array(out, kind::U16, v, |n| n.to_le_bytes()),
        Value::I16s(v) => put_array(out, kind::I16, v, |n| n.to_le_bytes()),
        Value::U32s(v) => put_array(out, kind::U32, v, |n| n.to_le_bytes()),
        Value::I32s(v) => put_array(out, kind::I32, v, |n| n.to_le_bytes()),
        Value::U64s(v) => put_array(out, kind::U64, v, |n| n.to_le_bytes()),
        Value::I64s(v) => put_array(out, kind::I64, v, |n| n.to_le_bytes()),
        Value::F32s(v) => put_array(out, kind::F32, v, |x| x.to_le_bytes()),
        Value::F64s(v) => put_array(out, kind::F64, v, |x| x.to_le_bytes()),
        Value::Bools(v) => put_array(out, kind::BOOL, v, |b| [u8::from(*b)]),
        Value::Strings(v) => {
            put_array::<String, 0>(out, kind::STRING, v, |_| []);
            v.iter().for_each(|text| put_string(out, text));
        }
    }
}

fn put_scalar<const N: usize>(out: &mut Vec<u8>, kind: u32, bytes: [u8; N]) {
    out.extend(kind.to_le_bytes());
    out.extend(bytes);
}

fn put_array<T, const N: usize>(out: &mut Vec<u8>, kind: u32, values: &[T], encode: impl Fn(&T) -> [u8; N]) {
    out.extend(kind::ARRAY.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    out.extend(values.iter().flat_map(encode));
}
