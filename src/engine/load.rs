//! Loading a model and compiling its kernels at the same time.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::{Engine, EngineOptions};
use crate::error::Result;
use crate::gpu::{Gpu, Source};
use crate::graph::Graph;
use crate::model::{Head, LoadOptions, LoadProgress, Model, record};
use crate::weights::Weights;

impl Engine {
    /// Loads a model and meanwhile compiles the kernels of its passes, which depend only on the description
    /// and the formats in the file's header.
    ///
    /// Fails where [`Model::from_weights`] or [`Engine::new`] do.
    pub fn load(
        gpu: &Gpu,
        weights: &Weights,
        load: &LoadOptions,
        options: EngineOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Engine> {
        let Some(outline) = Model::outline(gpu, weights, load)? else {
            let model = Model::from_weights(gpu, weights, load, progress)?;
            return Engine::new(Arc::new(model), options);
        };
        let mut engine = Engine::new(Arc::new(outline), options)?;
        let compiling = &mut engine;
        let (model, seconds) = std::thread::scope(|scope| {
            let compile = scope.spawn(move || compiling.compile());
            let model = Model::from_weights(gpu, weights, load, progress);
            // What could not be compiled says so when it is needed.
            (model, compile.join().unwrap_or_default())
        });
        engine.model = Arc::new(model?);
        engine.compile_seconds = seconds;
        Ok(engine)
    }

    /// Compiles the kernels of all passes that choose the likeliest token. Returns the seconds it took.
    fn compile(&self) -> f64 {
        let start = Instant::now();
        let mut buckets = self.buckets();
        // A prompt comes first, then one token at a time.
        buckets.reverse();
        for n_tokens in buckets {
            let _ = self.compile_bucket(n_tokens);
        }
        start.elapsed().as_secs_f64()
    }

    fn compile_bucket(&self, n_tokens: usize) -> Result<()> {
        let mut g = Graph::on(&self.model.gpu);
        g.set_polls(self.options.polls);
        let n_outputs = self.options.n_slots.min(n_tokens);
        let step = self.memory.step(&mut g, &self.model.decoder, n_tokens, n_outputs);
        record(&mut g, &self.model, &step, Head::Sample { greedy: true }, self.options.activations)?;
        let mut sources: Vec<Source> = g.sources()?;
        sources.sort_by(|a, b| a.wgsl.cmp(&b.wgsl));
        sources.dedup_by(|a, b| a.wgsl == b.wgsl);
        let gpu = &self.model.gpu;
        sources.par_iter().try_for_each(|source| gpu.pipeline(source).map(|_| ()))
    }

    /// Seconds that compiling took beside loading, and seconds that recording, linking and compiling took
    /// since, when passes were first needed.
    pub fn prepare_seconds(&self) -> (f64, f64) {
        (self.compile_seconds, self.prepare_seconds)
    }
}
