//! The nearest rows of a whole table of vectors: cosines on the GPU, the choice of the best on the host.
//!
//! The table is a packed weight of any stored format, as a model's embedding is; one too large for a
//! binding lies in several, which the kernels take in turn.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Sizes};
use crate::graph::{Binding, Dtype, Graph, PackedWeight, Rows, Scratch, Tensor};
use crate::kernels::{self as k, Batch, Epilogue};
use crate::tensor::format;

/// A table that is asked for its nearest rows.
pub struct Nearest {
    gpu: Gpu,
    weight: PackedWeight,
    /// (1, width)
    query: Buffer,
    /// One over the length of each row.
    inverse_lengths: Vec<f32>,
}

/// Rows that are asked for at most.
pub const TOP_MAX: usize = 1000;

impl Nearest {
    /// Takes the lengths of all rows.
    pub fn new(gpu: &Gpu, weight: PackedWeight) -> Result<Nearest> {
        let mut g = Graph::new(gpu.caps());
        let lengths = k::vector_lengths(&mut g, &weight)?;
        g.keep(lengths);
        let program = g.build(gpu, &mut Scratch::default())?;
        gpu.run(&program.plan, &Sizes { n_tokens: 1, ..Sizes::default() })?;
        let inverse_lengths = program.read(gpu, lengths)?.into_iter().take(weight.n_rows).map(|v| v as f32);
        let inverse_lengths = inverse_lengths.collect();
        let query = gpu.buffer("query", 4 * weight.n_columns.next_multiple_of(4) as u64)?;
        Ok(Nearest { gpu: gpu.clone(), weight, query, inverse_lengths })
    }

    /// Puts vectors into GPU memory. Shape: (n_rows, n_columns), row by row.
    pub fn of_values(gpu: &Gpu, values: &[f32], n_columns: usize) -> Result<Nearest> {
        let n_rows = values.len() / n_columns.max(1);
        let width = n_columns.next_multiple_of(4);
        let padded: Vec<f32>;
        let rows = if width == n_columns {
            values
        } else {
            let pad = |row: &[f32]| {
                row.iter().copied().chain(std::iter::repeat_n(0.0, width - n_columns)).collect()
            };
            padded = values.chunks(n_columns).flat_map(|row| -> Vec<f32> { pad(row) }).collect();
            &padded
        };
        let bytes: &[u8] = bytemuck::cast_slice(rows);
        let row = |i: usize| &bytes[4 * width * i..4 * width * (i + 1)];
        let weight = PackedWeight::upload(gpu, "vectors", format::by_name("F32")?, n_rows, width, &row)?;
        Nearest::new(gpu, weight)
    }

    pub fn n_rows(&self) -> usize {
        self.weight.n_rows
    }

    /// Rows of the table as they are. Shape: (ids, width).
    pub fn rows(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
        rows(&self.gpu, &self.weight, ids)
    }

    /// The `n` rows with the largest cosines to `query`, the best first, and the cosines. The lower row
    /// comes first of equal ones.
    pub fn nearest(&self, query: &[f32], n: usize) -> Result<Vec<(usize, f32)>> {
        let n = n.min(self.n_rows());
        if n == 0 || n > TOP_MAX {
            return Err(Error::Input(format!("expected 1 to {TOP_MAX} nearest, found {n}")));
        }
        let width = self.weight.n_columns;
        let length = query.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(Error::Input(format!("a vector of length {length} is near to nothing")));
        }
        let mut unit: Vec<f32> = query.iter().map(|&v| (f64::from(v) / length) as f32).collect();
        unit.resize(width.next_multiple_of(4), 0.0);
        self.gpu.write(&self.query, 0, bytemuck::cast_slice(&unit));
        let mut g = Graph::new(self.gpu.caps());
        let x = g.external("query", 1, width, Dtype::F32, Binding::Device(self.query.whole()));
        let scores = k::linear(&mut g, x, &self.weight, None, Epilogue::Store)?;
        g.keep(scores);
        let program = g.build(&self.gpu, &mut Scratch::default())?;
        self.gpu.run(&program.plan, &Sizes { n_tokens: 1, ..Sizes::default() })?;
        let scores = program.read(&self.gpu, scores)?;
        let cosines =
            scores.into_iter().zip(&self.inverse_lengths).map(|(score, scale)| score as f32 * scale);
        let mut rows: Vec<(usize, f32)> = cosines.enumerate().collect();
        let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if n < rows.len() {
            rows.select_nth_unstable_by(n, better);
            rows.truncate(n);
        }
        rows.sort_unstable_by(better);
        Ok(rows)
    }
}

/// Rows of a table as they are, whatever format it is stored in. Shape: (ids, width).
pub fn rows(gpu: &Gpu, weight: &PackedWeight, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
    if let Some(id) = ids.iter().find(|&&id| id as usize >= weight.n_rows) {
        return Err(Error::Input(format!("token {id} has no row in a table of {}", weight.n_rows)));
    }
    let n_values = ids.len() * weight.n_columns;
    if n_values > VALUES_MAX {
        return Err(Error::Input(format!(
            "{} tokens of {} numbers each are too many at once; split the text",
            ids.len(),
            weight.n_columns
        )));
    }
    let mut all = Vec::with_capacity(ids.len());
    for ids in ids.chunks(PIECE) {
        all.extend(piece(gpu, weight, ids)?);
    }
    Ok(all)
}

/// Rows that one launch looks up, and numbers that a caller gets at most.
const PIECE: usize = 4096;
const VALUES_MAX: usize = 1 << 28;

fn piece(gpu: &Gpu, weight: &PackedWeight, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
    let mut g = Graph::new(gpu.caps());
    let words = |g: &mut Graph, name: &str, words: Vec<u32>| -> Tensor {
        g.external(name, 1, words.len(), Dtype::U32, Binding::Host(std::sync::Arc::new(words)))
    };
    let zeros = words(&mut g, "zeros", vec![0; ids.len()]);
    let batch = Batch {
        rows: Rows::from(ids.len()),
        ids: words(&mut g, "ids", ids.to_vec()),
        positions: zeros,
        slots: zeros,
        pages: zeros,
        last_token: zeros,
        limits: zeros,
        outputs: zeros,
        max_pages: 1,
    };
    let found = k::embed(&mut g, &batch, weight, 1.0)?;
    g.keep(found);
    let program = g.build(gpu, &mut Scratch::default())?;
    gpu.run(&program.plan, &Sizes { n_tokens: ids.len() as u32, ..Sizes::default() })?;
    let values = program.read(gpu, found)?;
    let rows = values.chunks(found.pitch());
    Ok(rows.map(|row| row[..found.n_columns].iter().map(|&v| v as f32).collect()).collect())
}
