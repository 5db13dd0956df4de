//! Times of passes, and what is in them.

use std::ops::Range;

use super::Engine;
use super::memory::StepData;
use crate::error::Result;
use crate::gpu::Profile;
use crate::graph::{Launch, Program};
use crate::model::Head;

/// What the tokens of a measured pass are.
const TOKEN: u32 = 0;

impl Engine {
    /// The time of each kernel of a pass over `n_tokens` tokens of one sequence that come after `depth`
    /// others, each as a dispatch of its own. One token is a step of generation.
    pub fn profile(&mut self, n_tokens: usize, depth: usize) -> Result<Profile> {
        self.with_pass(n_tokens, depth, |engine, key, data| {
            let sizes = data.sizes(depth + data.ids.len());
            let (program, _) = engine.build(key, true)?;
            engine.model.gpu.profile(&program.plan, &sizes)
        })
    }

    /// Seconds that the device takes for such a pass: the median of five. On software devices: of CPU
    /// time, all threads together.
    pub fn pass_seconds(&mut self, n_tokens: usize, depth: usize) -> Result<f64> {
        self.with_pass(n_tokens, depth, |engine, key, data| {
            let sizes = data.sizes(depth + data.ids.len());
            let plan = &engine.programs[&key].0.plan;
            let times = (0..5).map(|_| engine.model.gpu.seconds(plan, &sizes, 1));
            let mut times = times.collect::<Result<Vec<f64>>>()?;
            times.sort_by(f64::total_cmp);
            Ok(times[2])
        })
    }

    /// The kernels of a pass over at most `n_tokens` tokens that chooses the next ones.
    pub fn launches(&mut self, n_tokens: usize) -> Result<&[Launch]> {
        Ok(self.choosing(n_tokens)?.launches())
    }

    /// The launches of each of its dispatches.
    pub fn dispatches(&mut self, n_tokens: usize) -> Result<&[Range<usize>]> {
        Ok(self.choosing(n_tokens)?.dispatches())
    }

    fn choosing(&mut self, n_tokens: usize) -> Result<&Program> {
        let key = self.prepare(self.bucket(n_tokens), self.options.n_slots, Head::Sample { greedy: true })?;
        Ok(&self.programs[&key].0)
    }

    fn with_pass<T>(
        &mut self,
        n_tokens: usize,
        depth: usize,
        run: impl FnOnce(&mut Engine, (usize, usize, Head), &StepData) -> Result<T>,
    ) -> Result<T> {
        let n_tokens = n_tokens.clamp(1, self.options.chunk);
        let depth = depth.min(self.options.context - n_tokens.min(self.options.context));
        let pages = self.fresh_pages(depth + n_tokens)?;
        let n_slots = self.options.n_slots;
        let key = self.prepare(self.bucket(n_tokens), n_slots, Head::Sample { greedy: true })?;
        let data = StepData::of(&vec![TOKEN; n_tokens], depth, depth + n_tokens - 1, &[]);
        self.memory.write(&self.model.gpu, &data);
        let result = run(self, key, &data);
        self.pages.release(&pages);
        result
    }
}
