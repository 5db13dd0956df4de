//! Packed weights in device memory, split by rows where a device's bindings are too small.

use std::ops::Range;
use std::sync::Arc;

use super::kernel::Inputs;
use super::record::Binding;
use crate::error::{Error, Result};
use crate::gpu::{Caps, Gpu, IMAGE_LEN_MAX, Slice, Target, Uploader};
use crate::tensor::format::{BAND, Plane, pack_rows};
use crate::tensor::{Format, Shape};

/// A weight of shape (n_rows, n_columns) in the planes of its format.
#[derive(Debug, Clone)]
pub struct PackedWeight {
    pub name: String,
    pub format: &'static Format,
    pub n_rows: usize,
    pub n_columns: usize,
    pub chunks: Vec<WeightChunk>,
}

/// Rows `first_row .. first_row + n_rows` of a weight: from the first row of a band, a multiple of 4.
#[derive(Debug, Clone)]
pub struct WeightChunk {
    pub first_row: usize,
    pub n_rows: usize,
    pub n_blocks: usize,
    pub planes: Vec<Binding>,
}

impl WeightChunk {
    /// Whether the planes are images.
    pub fn images(&self) -> bool {
        self.planes.iter().any(|plane| matches!(plane, Binding::Image(_) | Binding::HostImage(..)))
    }
}

/// Where the rows of a weight come from: the bytes of row `i` in the file's format.
/// An empty slice stands for a row of zeros (padding).
pub type RowSource<'a> = dyn Fn(usize) -> &'a [u8] + Sync + 'a;

impl PackedWeight {
    /// Packs `n_rows` rows and uploads them, in as many chunks as the device's bindings need.
    pub fn upload<'a>(
        gpu: &Gpu,
        name: &str,
        format: &'static Format,
        n_rows: usize,
        n_columns: usize,
        row: &RowSource<'a>,
    ) -> Result<PackedWeight> {
        let uploader = Uploader::new(gpu)?;
        let weight = PackedWeight::upload_with(gpu, &uploader, name, format, n_rows, n_columns, row);
        uploader.finish()?;
        weight
    }

    /// As [`PackedWeight::upload`], by a thread that goes on while the caller packs the next weight.
    #[expect(clippy::too_many_arguments, reason = "those of `upload` and the thread")]
    pub fn upload_with<'a>(
        gpu: &Gpu,
        uploader: &Uploader,
        name: &str,
        format: &'static Format,
        n_rows: usize,
        n_columns: usize,
        row: &RowSource<'a>,
    ) -> Result<PackedWeight> {
        let n_blocks = n_columns.div_ceil(32);
        let mut chunks = Vec::new();
        for rows in chunk_rows(gpu.caps(), name, format, n_rows, n_columns)? {
            let mut planes = Vec::new();
            // Uploads in pieces of some groups, so that the host never holds a whole packed tensor.
            let piece_rows = rows_per_chunk(format, n_blocks, PIECE_BYTES).unwrap_or(BAND);
            let mut targets = Vec::new();
            for plane in format.planes {
                let words = plane.words(rows.len(), n_blocks);
                let element = plane.element_words();
                targets.push(match gpu.caps().images {
                    false => Target::Buffer(gpu.buffer(name, 4 * words as u64)?),
                    true => Target::Image(gpu.image(name, (words / element) as u64, element as u32)?),
                });
            }
            for piece in split(rows.len(), piece_rows) {
                let absolute = rows.start + piece.start..rows.start + piece.end;
                let packed = pack(format, absolute, n_columns, n_rows, row)?;
                for ((target, plane), words) in targets.iter().zip(format.planes).zip(packed) {
                    uploader.send(target, plane.words(piece.start, n_blocks), words)?;
                }
            }
            for (target, plane) in targets.into_iter().zip(format.planes) {
                let len = 4 * plane.words(rows.len(), n_blocks) as u64;
                planes.push(match target {
                    Target::Buffer(buffer) => Binding::Device(Slice { buffer, offset: 0, len }),
                    Target::Image(image) => Binding::Image(image),
                });
            }
            chunks.push(WeightChunk { first_row: rows.start, n_rows: rows.len(), n_blocks, planes });
        }
        Ok(PackedWeight { name: name.to_owned(), format, n_rows, n_columns, chunks })
    }

    /// The weight with its planes as images instead of buffers, for tests.
    pub fn in_images(mut self) -> PackedWeight {
        for chunk in &mut self.chunks {
            for (binding, plane) in chunk.planes.iter_mut().zip(self.format.planes) {
                if let Binding::Host(words) = binding {
                    *binding = Binding::HostImage(words.clone(), plane.element_words() as u32);
                }
            }
        }
        self
    }

    /// A weight without weights: as [`PackedWeight::upload`] would split it, to record launches with and
    /// compile their kernels, but not to run them.
    pub fn outline(
        caps: &Caps,
        name: &str,
        format: &'static Format,
        n_rows: usize,
        n_columns: usize,
    ) -> Result<PackedWeight> {
        let nothing = Arc::new(Vec::new());
        let plane = |plane: &Plane| match caps.images {
            true => Binding::HostImage(nothing.clone(), plane.element_words() as u32),
            false => Binding::Host(nothing.clone()),
        };
        let planes: Vec<Binding> = format.planes.iter().map(plane).collect();
        let n_blocks = n_columns.div_ceil(32);
        let chunks = chunk_rows(caps, name, format, n_rows, n_columns)?.map(|rows| WeightChunk {
            first_row: rows.start,
            n_rows: rows.len(),
            n_blocks,
            planes: planes.clone(),
        });
        Ok(PackedWeight { name: name.to_owned(), format, n_rows, n_columns, chunks: chunks.collect() })
    }

    /// A weight of random blocks, on the host, for tests.
    pub(super) fn random(
        format: &'static Format,
        shape: &Shape,
        rows_max: usize,
        inputs: &mut Inputs,
    ) -> Result<PackedWeight> {
        let (n_rows, n_columns) = (shape.n_rows(), shape.n_columns());
        let n_stored = n_columns.next_multiple_of(format.block_len);
        let row_bytes = format.row_bytes(n_stored)?;
        // Making rows in some formats is slow, and so many do for any test.
        let n_made = n_rows.min(64);
        let mut bytes = Vec::with_capacity(n_made * row_bytes);
        for _ in 0..n_made {
            bytes.extend(random_row(format, row_bytes, n_columns, inputs));
        }
        let n_blocks = n_columns.div_ceil(32);
        let row = |i: usize| &bytes[i % n_made * row_bytes..][..row_bytes];
        let mut chunks = Vec::new();
        for rows in split(n_rows.next_multiple_of(4), rows_max.next_multiple_of(BAND)) {
            let (first_row, n_rows_here) = (rows.start, rows.len());
            let packed = pack(format, rows, n_columns, n_rows, &row)?;
            let planes = packed.into_iter().map(|words| Binding::Host(Arc::new(words))).collect();
            chunks.push(WeightChunk { first_row, n_rows: n_rows_here, n_blocks, planes });
        }
        Ok(PackedWeight { name: format.name.to_owned(), format, n_rows, n_columns, chunks })
    }
}

/// The rows of each chunk that a device's bindings can hold.
fn chunk_rows(
    caps: &Caps,
    name: &str,
    format: &Format,
    n_rows: usize,
    n_columns: usize,
) -> Result<impl Iterator<Item = Range<usize>> + use<>> {
    let limit = match caps.images {
        // The widest plane has the most elements, of 4 words.
        true => 16 * IMAGE_LEN_MAX,
        false => caps.binding_bytes_max.min(caps.buffer_bytes_max).min(1 << 30),
    };
    let rows_max = rows_per_chunk(format, n_columns.div_ceil(32), limit).ok_or_else(|| {
        Error::tensor(name, format!("a row of {n_columns} weights does not fit a binding of {limit} bytes"))
    })?;
    Ok(split(n_rows.next_multiple_of(4), rows_max))
}

/// The host packs at most this many bytes ahead of the upload.
const PIECE_BYTES: u64 = 16 << 20;

/// Rows, whole bands, whose largest plane stays within `limit` bytes; `None` if not even one band does.
fn rows_per_chunk(format: &Format, n_blocks: usize, limit: u64) -> Option<usize> {
    let widest = format.planes.iter().map(|plane| 4 * plane.words(BAND, n_blocks) as u64).max()?;
    let bands = usize::try_from(limit / widest.max(1)).unwrap_or(usize::MAX).min(1 << 26);
    (bands > 0).then_some(bands * BAND)
}

fn split(n_rows: usize, rows_max: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n_rows)
        .step_by(rows_max.max(BAND))
        .map(move |start| start..start.saturating_add(rows_max.max(BAND)).min(n_rows))
}

/// Packs the rows `rows`; rows from `n_rows` on are padding.
fn pack<'a>(
    format: &'static Format,
    rows: Range<usize>,
    n_columns: usize,
    n_rows: usize,
    row: &(dyn Fn(usize) -> &'a [u8] + Sync),
) -> Result<Vec<Vec<u32>>> {
    pack_rows(format, |i| if i < n_rows { row(i) } else { &[] }, rows, n_columns)
}

/// A row of random weights of about unit size: normal numbers where the format can be written,
/// random bits with small scales elsewhere.
fn random_row(format: &Format, row_bytes: usize, n_columns: usize, inputs: &mut Inputs) -> Vec<u8> {
    let mut bytes = vec![0u8; row_bytes];
    let n_stored = row_bytes / format.block_bytes * format.block_len;
    if let Some(quantise) = format.quantise {
        let mut values = inputs.normals(n_stored);
        values[n_columns..].fill(0.0);
        for (values, block) in values.chunks(format.block_len).zip(bytes.chunks_mut(format.block_bytes)) {
            quantise(values, block);
        }
        return bytes;
    }
    // Random bits, drawn again where the scales come out as no numbers or far too large ones.
    let mut values = vec![0.0; format.block_len];
    for block in bytes.chunks_mut(format.block_bytes) {
        loop {
            block.fill_with(|| inputs.next() as u8);
            (format.dequantise)(block, &mut values);
            let largest =
                values.iter().fold(0.0f32, |m, v| if v.is_finite() { m.max(v.abs()) } else { f32::NAN });
            if largest > 1e-3 && largest < 8.0 {
                break;
            }
        }
    }
    bytes
}
