//! Logits and likelihoods of given texts.

use super::memory::StepData;
use super::{Engine, PAGE};
use crate::error::{Error, Result};
use crate::gpu::Sizes;
use crate::model::Head;

/// Bytes of logits in one pass at most.
const LOGIT_BYTES_MAX: usize = 32 << 20;

impl Engine {
    /// The logits after each of the last `n_last` tokens. Shape: (n_last, n_vocab).
    ///
    /// Fails while sequences are running, since it uses their cache.
    pub fn logits(&mut self, tokens: &[u32], n_last: usize) -> Result<Vec<Vec<f32>>> {
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

    /// Runs `tokens` as one fresh sequence, with outputs from position `wanted` on.
    fn passes(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        targets: &[u32],
        head: Head,
        mut each: impl FnMut(&[f64], usize),
    ) -> Result<()> {
        if self.busy() {
            return Err(Error::Input("texts cannot be scored while sequences are running".into()));
        }
        let n_pages = tokens.len().div_ceil(PAGE);
        let pages = (0..n_pages).map(|_| self.pages.take()).collect::<Result<Vec<_>>>()?;
        self.model.gpu.write(&self.memory.pages, 0, bytemuck::cast_slice(&pages));
        let row_bytes = 4 * self.model.decoder.n_vocab.next_multiple_of(4);
        let chunk = self.options.chunk.min((LOGIT_BYTES_MAX / row_bytes).max(1));
        let result = self.run_passes(tokens, wanted, targets, head, chunk, &mut each);
        self.pages.release(&pages);
        result
    }

    fn run_passes(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        targets: &[u32],
        head: Head,
        chunk: usize,
        each: &mut impl FnMut(&[f64], usize),
    ) -> Result<()> {
        self.prepare(chunk, chunk, head)?;
        let (program, pass) = &self.programs[&(chunk, head)];
        let gpu = &self.model.gpu;
        for (i, ids) in tokens.chunks(chunk).enumerate() {
            let first = i * chunk;
            let mut data = StepData::default();
            for (j, &id) in ids.iter().enumerate() {
                data.ids.push(id);
                data.positions.push((first + j) as u32);
                data.slots.push(0);
                if first + j >= wanted {
                    data.outputs.push(j as u32);
                    data.output_slots.push(0);
                    data.output_positions.push((first + j) as u32);
                    data.targets.push(targets.get(first + j).copied().unwrap_or(0));
                }
            }
            let n_outputs = data.outputs.len();
            let sizes = Sizes {
                n_tokens: ids.len() as u32,
                n_outputs: n_outputs as u32,
                n_context: (first + ids.len()) as u32,
            };
            self.memory.write(gpu, &data);
            gpu.run(&program.plan, &sizes)?;
            if n_outputs > 0 {
                let tensor = pass.logits.or(pass.nll).expect("the pass has a result");
                each(&program.read(gpu, tensor)?, n_outputs);
            }
        }
        Ok(())
    }
}
