//! Logits and likelihoods of given texts.

use std::time::Duration;

use super::memory::StepData;
use super::{Engine, PAGE};
use crate::error::{Error, Result};
use crate::graph::Difference;
use crate::model::Head;

/// Bytes of logits in one pass at most.
const LOGIT_BYTES_MAX: usize = 32 << 20;

impl Engine {
    /// The logits after each of the last `n_last` tokens. Shape: (n_last, n_vocab).
    ///
    /// Fails while sequences are running, since it uses their cache.
    pub fn logits(&mut self, tokens: &[u32], n_last: usize) -> Result<Vec<Vec<f32>>> {
        if self.source.is_some() {
            return Err(Error::Unsupported(format!(
                "{} reads a text before it writes one: ask for the logits after both",
                self.model.title
            )));
        }
        self.logits_of(tokens, n_last)
    }

    /// The logits of an encoder-decoder model after each of the last `n_last` of the `tokens` that it
    /// wrote, having read `source`. Shape: (n_last, n_vocab).
    ///
    /// Fails while sequences are running, since it uses their cache.
    pub fn logits_after(&mut self, source: &[u32], tokens: &[u32], n_last: usize) -> Result<Vec<Vec<f32>>> {
        self.read_source(source)?;
        self.logits_of(tokens, n_last)
    }

    /// Lets slot 0, which must be free, attend to a text.
    pub(super) fn read_source(&mut self, ids: &[u32]) -> Result<()> {
        self.idle()?;
        match &mut self.source {
            Some(source) => source.read(&self.model, ids, 0),
            None => {
                Err(Error::Unsupported(format!("{} has no encoder to read a text with", self.model.title)))
            }
        }
    }

    fn logits_of(&mut self, tokens: &[u32], n_last: usize) -> Result<Vec<Vec<f32>>> {
        self.check_tokens(tokens)?;
        let wanted = tokens.len() - n_last.min(tokens.len());
        let n_vocab = self.model.decoder.n_vocab;
        let mut rows = Vec::new();
        self.passes(tokens, wanted, &[], Head::Logits, |values, n_outputs| {
            let pitch = n_vocab.next_multiple_of(4);
            for row in values.chunks(pitch).take(n_outputs) {
                rows.push(row[..n_vocab].iter().map(|&v| v as f32).collect());
            }
        })?;
        Ok(rows)
    }

    /// The negative log-likelihood of each token after the first, in nats.
    pub fn nll(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        if self.source.is_some() {
            return Err(Error::Unsupported(format!(
                "{} reads a text before it writes one; the likelihood of one text alone is not defined",
                self.model.title
            )));
        }
        self.check_tokens(tokens)?;
        let mut all = Vec::new();
        let inputs = &tokens[..tokens.len() - 1];
        if inputs.is_empty() {
            return Ok(all);
        }
        self.passes(inputs, 0, &tokens[1..], Head::Nll, |values, n_outputs| {
            // Rows of one column, padded to four.
            all.extend(values.chunks(4).take(n_outputs).map(|row| row[0] as f32));
        })?;
        Ok(all)
    }

    /// Runs one pass over `tokens` launch by launch, each beside its CPU twin, and gives every
    /// comparison to `each`, which says whether to go on.
    pub fn check(&mut self, tokens: &[u32], each: impl FnMut(&Difference) -> bool) -> Result<()> {
        self.check_tokens(tokens)?;
        if tokens.len() > self.options.chunk {
            return Err(Error::Input(format!(
                "at most {} tokens can be checked at once",
                self.options.chunk
            )));
        }
        let pages = self.fresh_pages(tokens.len())?;
        let key = self.prepare(self.bucket(tokens.len()), 1, Head::Logits)?;
        let data = StepData::of(tokens, 0, tokens.len() - 1, &[]);
        let gpu = &self.model.gpu;
        self.memory.write(gpu, &data);
        let result = self.programs[&key].0.check(gpu, &data.sizes(tokens.len()), each);
        self.pages.release(&pages);
        result
    }

    /// Runs `tokens` as one fresh sequence, with outputs from position `wanted` on.
    fn passes(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        targets: &[u32],
        head: Head,
        mut each: impl FnMut(&[f64], usize),
    ) -> Result<()> {
        let pages = self.fresh_pages(tokens.len())?;
        let row_bytes = 4 * self.model.decoder.n_vocab.next_multiple_of(4);
        let rows_max = (LOGIT_BYTES_MAX / row_bytes).max(1);
        let n_wanted = tokens.len() - wanted;
        // Few outputs leave room for long chunks.
        let chunk = self.options.chunk.min(if n_wanted <= rows_max { usize::MAX } else { rows_max });
        let result = self.run_passes(tokens, wanted, targets, head, (chunk, rows_max), &mut each);
        self.pages.release(&pages);
        result
    }

    /// Pages for a sequence of `n` tokens in slot 0, which must be free.
    pub(super) fn fresh_pages(&mut self, n: usize) -> Result<Vec<u32>> {
        self.idle()?;
        let pages = (0..n.div_ceil(PAGE)).map(|_| self.pages.take()).collect::<Result<Vec<_>>>()?;
        self.model.gpu.write(&self.memory.pages, 0, bytemuck::cast_slice(&pages));
        Ok(pages)
    }

    /// Fails while sequences are running.
    fn idle(&mut self) -> Result<()> {
        if !self.waiting.is_empty() || !self.running.is_empty() {
            return Err(Error::Input("texts cannot be scored while sequences are running".into()));
        }
        // Passes of sequences that were cancelled.
        while !self.flights.is_empty() {
            self.land(&mut Vec::new(), Duration::MAX)?;
        }
        Ok(())
    }

    pub(super) fn run_passes(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        targets: &[u32],
        head: Head,
        (chunk, rows_max): (usize, usize),
        each: &mut impl FnMut(&[f64], usize),
    ) -> Result<()> {
        let bucket = self.bucket(tokens.len().min(chunk)).min(chunk);
        let n_outputs = (tokens.len() - wanted).min(rows_max);
        let key = self.prepare(bucket, if n_outputs == 1 { 1 } else { rows_max }, head)?;
        let (program, pass) = &self.programs[&key];
        let gpu = &self.model.gpu;
        for (i, ids) in tokens.chunks(bucket).enumerate() {
            let mut data = StepData::of(ids, i * bucket, wanted, targets);
            if let Some(source) = &self.source {
                data.limits = vec![source.limit(0); ids.len()];
            }
            let sizes = data.sizes(i * bucket + ids.len());
            self.memory.write(gpu, &data);
            gpu.run(&program.plan, &sizes)?;
            if sizes.n_outputs > 0 {
                let tensor = pass.logits.or(pass.nll).expect("the pass has a result");
                each(&program.read(gpu, tensor)?, sizes.n_outputs as usize);
            }
        }
        Ok(())
    }
}
