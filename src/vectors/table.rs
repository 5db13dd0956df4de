//! Word vectors on the GPU: nearest words and arithmetic over the whole table, many questions at once.

use std::collections::HashMap;

use super::file::WordVectors;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Size, Sizes};
use crate::graph::{Binding, Dtype, Graph, Program, Rows, Scratch};
use crate::kernels::tiles::row_pitch;
use crate::kernels::{LOWEST, TOP_K_MAX, Top, cosines, top_k};

/// Words with vectors of length 1.
pub struct VectorTable {
    gpu: Gpu,
    words: Vec<String>,
    place: HashMap<String, usize>,
    /// The dimensions, padded for the kernels.
    width: usize,
    /// (n_words, width), of length 1
    rows: Vec<f32>,
    /// The rows on the device, in as many parts as its bindings need.
    parts: Vec<Buffer>,
    query: Buffer,
    /// Questions that one pass answers at most.
    batch: usize,
    /// By the number of words searched and the number wanted.
    searches: HashMap<(usize, usize), Search>,
}

struct Search {
    program: Program,
    top: Top,
}

/// A word found: its place and the cosine.
pub type Found = (usize, f32);

/// The scores of a pass take this many bytes at most, and it answers this many questions.
const SCORE_BYTES: usize = 64 << 20;
const BATCH_MAX: usize = 64;

impl VectorTable {
    /// Scales the vectors to length 1 and puts them into GPU buffers.
    pub fn new(gpu: &Gpu, vectors: WordVectors) -> Result<VectorTable> {
        let width = row_pitch(vectors.dimensions);
        let n = vectors.words.len();
        let mut rows = vec![0.0f32; n * width];
        for (i, row) in rows.chunks_mut(width).enumerate() {
            let vector = vectors.vector(i);
            let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-30);
            for (to, from) in row.iter_mut().zip(vector) {
                *to = (f64::from(*from) / length) as f32;
            }
        }
        let limit = gpu.caps().binding_bytes_max.min(gpu.caps().buffer_bytes_max) as usize;
        let parts = rows.chunks((limit / (4 * width)).max(1) * width);
        let parts = parts.map(|rows| gpu.buffer_with("vectors", bytemuck::cast_slice(rows)));
        let parts = parts.collect::<Result<Vec<Buffer>>>()?;
        let batch = (SCORE_BYTES / (4 * n.max(1))).clamp(1, BATCH_MAX);
        let query = gpu.buffer("query", 4 * (batch * width) as u64)?;
        let mut place = HashMap::new();
        for (i, word) in vectors.words.iter().enumerate() {
            // The first of equal words counts, as it is the commonest.
            place.entry(word.clone()).or_insert(i);
        }
        let (gpu, words) = (gpu.clone(), vectors.words);
        Ok(VectorTable { gpu, words, place, width, rows, parts, query, batch, searches: HashMap::new() })
    }

    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    pub fn find(&self, word: &str) -> Option<usize> {
        self.place.get(word).copied()
    }

    /// The place of a word. Fails with the word if it is not in the table.
    pub fn expect(&self, word: &str) -> Result<usize> {
        self.find(word).ok_or_else(|| {
            Error::Input(format!("{word:?} is not among the {} words of these vectors", self.words.len()))
        })
    }

    /// The vector of length 1 of word `i`, padded with zeros.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.rows[i * self.width..(i + 1) * self.width]
    }

    /// The cosine of words `i` and `j`.
    pub fn cosine(&self, i: usize, j: usize) -> f64 {
        self.row(i).iter().zip(self.row(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The cosine of two words.
    pub fn similarity(&self, a: &str, b: &str) -> Result<f64> {
        Ok(self.cosine(self.expect(a)?, self.expect(b)?))
    }

    /// The `n` words nearest to the sum of `plus` less that of `minus`, without these words themselves.
    pub fn nearest(&mut self, plus: &[&str], minus: &[&str], n: usize) -> Result<Vec<(&str, f32)>> {
        let places = |words: &[&str]| words.iter().map(|word| self.expect(word)).collect::<Result<Vec<_>>>();
        let question = (places(plus)?, places(minus)?);
        let found = self.search(&[question], self.words.len(), n)?.pop().unwrap_or_default();
        Ok(found.into_iter().map(|(i, cosine)| (self.words[i].as_str(), cosine)).collect())
    }

    /// For each question (words that are added, words that are taken away) the `n` nearest of the first
    /// `n_words` words, without the question's own, the nearest first.
    ///
    /// Fails if `n` and the question's words are more than the GPU picks at once.
    pub fn search(
        &mut self,
        questions: &[(Vec<usize>, Vec<usize>)],
        n_words: usize,
        n: usize,
    ) -> Result<Vec<Vec<Found>>> {
        let n_words = n_words.min(self.words.len());
        let own = questions.iter().map(|(plus, minus)| plus.len() + minus.len()).max().unwrap_or(0);
        let k = n + own;
        if k > TOP_K_MAX {
            return Err(Error::Input(format!(
                "{n} nearest words of a question of {own} words were asked for, at most {TOP_K_MAX} in all are found"
            )));
        }
        if n == 0 || n_words == 0 {
            return Ok(vec![Vec::new(); questions.len()]);
        }
        let mut answers = Vec::with_capacity(questions.len());
        for questions in questions.chunks(self.batch) {
            let queries: Vec<f32> = questions.iter().flat_map(|question| self.mean(question)).collect();
            self.gpu.write(&self.query, 0, bytemuck::cast_slice(&queries));
            self.prepare(n_words, k)?;
            let search = &self.searches[&(n_words, k)];
            let (plan, top) = (&search.program.plan, search.top);
            self.gpu.run(plan, &Sizes { n_tokens: questions.len() as u32, ..Sizes::default() })?;
            let values = search.program.read(&self.gpu, top.values)?;
            let columns = search.program.read(&self.gpu, top.columns)?;
            for (i, (plus, minus)) in questions.iter().enumerate() {
                let row = i * top.values.pitch()..i * top.values.pitch() + k;
                let found = values[row.clone()].iter().zip(&columns[row]);
                let others = found
                    .map(|(&value, &column)| (column as usize, value as f32))
                    .filter(|(i, value)| *value > LOWEST && !plus.contains(i) && !minus.contains(i));
                answers.push(others.take(n).collect());
            }
        }
        Ok(answers)
    }

    /// The mean of a question's words, of length 1.
    fn mean(&self, (plus, minus): &(Vec<usize>, Vec<usize>)) -> Vec<f32> {
        let mut sum = vec![0.0f64; self.width];
        for (places, sign) in [(plus, 1.0), (minus, -1.0)] {
            for &place in places {
                let row = self.row(place);
                sum.iter_mut().zip(row).for_each(|(to, from)| *to += sign * f64::from(*from));
            }
        }
        let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-30);
        sum.iter().map(|v| (v / length) as f32).collect()
    }

    /// Makes the search of `k` among the first `n_words` words.
    fn prepare(&mut self, n_words: usize, k: usize) -> Result<()> {
        if !self.searches.contains_key(&(n_words, k)) {
            let mut g = Graph::new(self.gpu.caps());
            let rows = Rows::up_to(self.batch, Size::Tokens);
            let x = g.external("query", rows, self.width, Dtype::F32, Binding::Device(self.query.whole()));
            let mut parts = Vec::new();
            for buffer in &self.parts {
                let n_rows = buffer.len() as usize / (4 * self.width);
                let binding = Binding::Device(buffer.whole());
                parts.push(g.external("vectors", n_rows, self.width, Dtype::F32, binding));
            }
            let scores = cosines(&mut g, x, &parts)?;
            let top = top_k(&mut g, scores, n_words, k)?;
            g.keep(top.values);
            g.keep(top.columns);
            let program = g.build(&self.gpu, &mut Scratch::default())?;
            self.searches.insert((n_words, k), Search { program, top });
        }
        Ok(())
    }

    /// Words by their cosine to the mean of all of them, the nearest first: the last does not belong.
    pub fn by_centrality<'w>(&self, words: &[&'w str]) -> Result<Vec<(&'w str, f64)>> {
        let places = words.iter().map(|word| self.expect(word)).collect::<Result<Vec<_>>>()?;
        let mean = self.mean(&(places.clone(), Vec::new()));
        let cosine = |i: usize| -> f64 {
            self.row(i).iter().zip(&mean).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let mut ranked: Vec<(&str, f64)> =
            words.iter().zip(places).map(|(word, place)| (*word, cosine(place))).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(ranked)
    }
}
