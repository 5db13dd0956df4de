//! Word vectors on the GPU: nearest words and arithmetic over the whole table.

use std::collections::HashMap;

use super::file::WordVectors;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Sizes};
use crate::graph::{Binding, Dtype, Graph, PackedWeight, Program, Scratch, Tensor};
use crate::kernels::{Epilogue, linear};
use crate::tensor::format;

/// Words with vectors of length 1.
pub struct VectorTable {
    gpu: Gpu,
    words: Vec<String>,
    place: HashMap<String, usize>,
    /// Padded to a multiple of 4.
    width: usize,
    /// (n_words, width), of length 1
    rows: Vec<f32>,
    query: Buffer,
    program: Program,
    scores: Tensor,
}

impl VectorTable {
    /// Scales the vectors to length 1 and puts them into GPU buffers.
    pub fn new(gpu: &Gpu, vectors: WordVectors) -> Result<VectorTable> {
        let width = vectors.dimensions.next_multiple_of(4);
        let n = vectors.words.len();
        let mut rows = vec![0.0f32; n * width];
        for (i, row) in rows.chunks_mut(width).enumerate() {
            let vector = vectors.vector(i);
            let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-30);
            for (to, from) in row.iter_mut().zip(vector) {
                *to = (f64::from(*from) / length) as f32;
            }
        }
        let bytes: &[u8] = bytemuck::cast_slice(&rows);
        let row = |i: usize| &bytes[4 * width * i..4 * width * (i + 1)];
        let weight = PackedWeight::upload(gpu, "vectors", format::by_name("F32")?, n, width, &row)?;
        let query = gpu.buffer("query", 4 * width as u64)?;
        let mut g = Graph::on(gpu);
        let x = g.external("query", 1, width, Dtype::F32, Binding::Device(query.whole()));
        let scores = linear(&mut g, x, &weight, None, Epilogue::Store)?;
        g.keep(scores);
        let program = g.build(gpu, &mut Scratch::default())?;
        let mut place = HashMap::new();
        for (i, word) in vectors.words.iter().enumerate() {
            // The first of equal words counts, as it is the commonest.
            place.entry(word.clone()).or_insert(i);
        }
        Ok(VectorTable { gpu: gpu.clone(), words: vectors.words, place, width, rows, query, program, scores })
    }

    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn find(&self, word: &str) -> Option<usize> {
        self.place.get(word).copied()
    }

    fn row(&self, word: &str) -> Result<&[f32]> {
        let at = self.find(word).ok_or_else(|| {
            Error::Input(format!("{word:?} is not among the {} words of these vectors", self.words.len()))
        })?;
        Ok(&self.rows[at * self.width..(at + 1) * self.width])
    }

    /// The cosine of two words.
    pub fn similarity(&self, a: &str, b: &str) -> Result<f64> {
        let (a, b) = (self.row(a)?, self.row(b)?);
        Ok(a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
    }

    /// The `n` words nearest to the sum of `plus` less that of `minus`, without these words themselves.
    pub fn nearest(&self, plus: &[&str], minus: &[&str], n: usize) -> Result<Vec<(&str, f32)>> {
        let mut sum = vec![0.0f64; self.width];
        for (words, sign) in [(plus, 1.0), (minus, -1.0)] {
            for word in words {
                for (to, from) in sum.iter_mut().zip(self.row(word)?) {
                    *to += sign * f64::from(*from);
                }
            }
        }
        let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-30);
        let query: Vec<f32> = sum.iter().map(|v| (v / length) as f32).collect();
        self.gpu.write(&self.query, 0, bytemuck::cast_slice(&query));
        self.gpu.run(&self.program.plan, &Sizes { n_tokens: 1, ..Sizes::default() })?;
        let scores = self.program.read(&self.gpu, self.scores)?;
        let given: Vec<usize> = plus.iter().chain(minus).filter_map(|word| self.find(word)).collect();
        let mut order: Vec<usize> = (0..self.words.len()).filter(|i| !given.contains(i)).collect();
        let n = n.min(order.len());
        let falling = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if n > 0 && n < order.len() {
            order.select_nth_unstable_by(n - 1, falling);
        }
        order.truncate(n);
        order.sort_by(falling);
        Ok(order.into_iter().map(|i| (self.words[i].as_str(), scores[i] as f32)).collect())
    }
}
