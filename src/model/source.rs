//! Where the rows of a weight come from: a tensor of the file, as it is, transposed, or in another order.

use std::borrow::Cow;

use super::names::{Names, hub_names};
use super::quantise::requantise;
use crate::error::{Error, Result};
use crate::tensor::{Format, Shape};
use crate::weights::{TensorInfo, Weights};

/// Rows of a tensor in the file's format.
pub struct Part<'a> {
    pub name: String,
    pub format: &'static Format,
    pub n_columns: usize,
    bytes: Cow<'a, [u8]>,
    row_bytes: usize,
    /// Where each row starts in `bytes`, in units of `unit` bytes.
    order: Vec<u32>,
    /// A row, but for made-up weights, whose rows start at any block.
    unit: usize,
    /// Bytes in the file, for progress.
    pub file_bytes: u64,
}

impl Part<'_> {
    pub fn n_rows(&self) -> usize {
        self.order.len()
    }

    /// Bytes of its rows.
    pub fn stored_bytes(&self) -> u64 {
        (self.n_rows() * self.row_bytes) as u64
    }

    /// The bytes of row `i`.
    pub fn row(&self, i: usize) -> &[u8] {
        let at = self.order[i] as usize * self.unit;
        &self.bytes[at..at + self.row_bytes]
    }

    /// As many rows in another format, but for what they hold.
    pub fn outline(&self, to: &'static Format) -> Part<'static> {
        Part {
            name: self.name.clone(),
            format: to,
            n_columns: self.n_columns,
            bytes: Cow::Borrowed(&[]),
            row_bytes: 0,
            unit: 0,
            order: vec![0; self.n_rows()],
            file_bytes: self.file_bytes,
        }
    }

    /// The same rows in another format.
    pub fn requantised(&self, to: &'static Format) -> Result<Part<'static>> {
        let rows: Vec<u8> = (0..self.n_rows()).flat_map(|i| self.row(i)).copied().collect();
        let bytes = requantise(&rows, self.n_columns, self.format, to)?;
        Ok(Part {
            name: self.name.clone(),
            format: to,
            n_columns: self.n_columns,
            bytes: Cow::Owned(bytes),
            row_bytes: to.row_bytes(self.n_columns)?,
            unit: to.row_bytes(self.n_columns)?,
            order: (0..self.n_rows() as u32).collect(),
            file_bytes: self.file_bytes,
        })
    }

    /// The rows that `order` names, in its order.
    pub fn pick(mut self, order: impl IntoIterator<Item = usize>) -> Self {
        self.order = order.into_iter().map(|i| self.order[i]).collect();
        self
    }

    /// Fails unless the part has this shape.
    pub fn expect(self, n_rows: usize, n_columns: usize) -> Result<Self> {
        if (self.n_rows(), self.n_columns) == (n_rows, n_columns) {
            return Ok(self);
        }
        let (expected, found) =
            (Shape::new([n_rows, n_columns]), Shape::new([self.n_rows(), self.n_columns]));
        Err(Error::tensor(self.name, format!("expected {expected}, file has {found}")))
    }
}

/// Finds tensors by our names.
#[derive(Clone, Copy)]
pub struct Finder<'a> {
    pub weights: &'a Weights,
    pub names: Names,
    /// Before our names: `enc.` and `dec.` where a file has two stacks of layers.
    pub prefix: &'static str,
}

/// What two stacks of layers share.
const SHARED: [&str; 3] = ["token_embd.weight", "output.weight", "output.bias"];

impl<'a> Finder<'a> {
    /// Our full name of a tensor of this stack.
    pub fn own(&self, name: &str) -> String {
        match self.prefix.is_empty() || SHARED.contains(&name) {
            true => name.to_owned(),
            false => format!("{}{name}", self.prefix),
        }
    }

    /// The tensor of our name, under whatever name the file has it.
    pub fn find(&self, name: &str) -> Option<&'a TensorInfo> {
        let name = self.own(name);
        let hub = |hub: String| {
            // Some files put the decoder below a further prefix, or leave out the outermost.
            let inner = hub.split_once('.').map_or("", |(_, inner)| inner);
            let found =
                self.weights.find(&hub).or_else(|| self.weights.find(&format!("language_model.{hub}")));
            found.or_else(|| self.weights.find(inner))
        };
        self.weights.find(&name).or_else(|| hub_names(self.names, &name).into_iter().find_map(hub))
    }

    pub fn required(&self, name: &str) -> Result<&'a TensorInfo> {
        self.find(name).ok_or_else(|| {
            let name = self.own(name);
            let hub: String = hub_names(self.names, &name).iter().map(|hub| format!(" nor {hub}")).collect();
            Error::tensor(name, format!("the file has neither it{hub}, which this architecture needs"))
        })
    }

    /// A tensor as rows; `transposed` where the file has it as (n_columns, n_rows).
    pub fn part(&self, name: &str, transposed: bool) -> Result<Part<'a>> {
        let info = self.required(name)?;
        let (n_rows, n_columns) = (info.shape.n_rows(), info.shape.n_columns());
        if let Some(rows) = self.weights.synthetic_rows(info) {
            return Ok(Part {
                name: info.name.clone(),
                format: info.format,
                n_columns,
                bytes: Cow::Borrowed(rows.bytes),
                row_bytes: info.format.row_bytes(n_columns)?,
                unit: info.format.block_bytes,
                order: rows.starts,
                file_bytes: info.bytes.len() as u64,
            });
        }
        let bytes = self.weights.bytes(info);
        if !transposed {
            return Ok(Part {
                name: info.name.clone(),
                format: info.format,
                n_columns,
                bytes: Cow::Borrowed(bytes),
                row_bytes: info.format.row_bytes(n_columns)?,
                unit: info.format.row_bytes(n_columns)?,
                order: (0..n_rows as u32).collect(),
                file_bytes: bytes.len() as u64,
            });
        }
        if info.format.block_len != 1 {
            return Err(Error::tensor(
                &info.name,
                format!("stands transposed in this family's files, which {} cannot be", info.format.name),
            ));
        }
        let width = info.format.block_bytes;
        let mut turned = vec![0u8; bytes.len()];
        for (i, element) in bytes.chunks_exact(width).enumerate() {
            let (row, column) = (i / n_columns, i % n_columns);
            let at = (column * n_rows + row) * width;
            turned[at..at + width].copy_from_slice(element);
        }
        Ok(Part {
            name: info.name.clone(),
            format: info.format,
            n_columns: n_rows,
            bytes: Cow::Owned(turned),
            row_bytes: n_rows * width,
            unit: n_rows * width,
            order: (0..n_columns as u32).collect(),
            file_bytes: bytes.len() as u64,
        })
    }

    /// A vector as f32, if the file has it. Fails if it has another length.
    pub fn vector(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        let Some(info) = self.find(name) else { return Ok(None) };
        if info.shape.n_rows() * info.shape.n_columns() != len {
            return Err(Error::tensor(
                &info.name,
                format!("expected {}, file has {}", Shape::new([len]), info.shape),
            ));
        }
        let mut values = vec![0.0f32; len];
        info.format.dequantise_row(self.weights.bytes(info), &mut values);
        Ok(Some(values))
    }
}
