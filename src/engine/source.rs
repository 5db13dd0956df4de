//! Encoder-decoder models: texts that the encoder reads, kept as the keys and values that the decoder's
//! layers attend to.

use std::collections::HashMap;

use super::EngineOptions;
use super::kv_pool::KvPool;
use super::memory::{Memory, StepData};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Slice};
use crate::graph::{Binding, Dtype, Graph, Program, Scratch};
use crate::kernels::{Batch, PAGE};
use crate::model::{CrossStep, Model, Step, record_source};

pub(super) struct Source {
    /// The encoder's own; all its texts lie in the same pages, one after another.
    pub(super) memory: Memory,
    programs: HashMap<usize, Program>,
    scratch: Scratch,
    /// The pages of each slot's text: (n_slots, max_pages).
    pages: Buffer,
    kv: KvPool,
    n_slots: usize,
    /// Tokens of the longest text.
    pub context: usize,
    /// Tokens of each slot's text.
    lengths: Vec<usize>,
    activations: Dtype,
}

impl Source {
    /// `None` for models without an encoder beside the decoder.
    pub fn new(model: &Model, options: &EngineOptions) -> Result<Option<Source>> {
        let Some((encoder, _)) = &model.encoder else { return Ok(None) };
        let gpu = &model.gpu;
        let context = encoder.n_context.min(options.context);
        let max_pages = context.div_ceil(PAGE);
        let options = EngineOptions { context, chunk: context, ..options.clone() };
        let n_slots = options.n_slots;
        let memory = Memory::new(gpu, encoder, &options, context, max_pages)?;
        let own: Vec<u32> = (0..n_slots).flat_map(|_| 0..max_pages as u32).collect();
        gpu.write(&memory.pages, 0, bytemuck::cast_slice(&own));
        let source = Source {
            memory,
            programs: HashMap::new(),
            scratch: Scratch::default(),
            pages: gpu.buffer("pages of texts", 4 * (n_slots * max_pages) as u64)?,
            kv: KvPool::new(gpu, &model.decoder, n_slots * max_pages, options.kv)?,
            n_slots,
            context,
            lengths: vec![1; n_slots],
            activations: options.activations,
        };
        (0..n_slots).for_each(|slot| source.place(model, slot, slot));
        Ok(Some(source))
    }

    fn max_pages(&self) -> usize {
        self.context.div_ceil(PAGE)
    }

    /// Lets `slot` attend to the text of `to`.
    fn place(&self, model: &Model, slot: usize, to: usize) {
        let n = self.max_pages();
        let pages: Vec<u32> = (to * n..(to + 1) * n).map(|page| page as u32).collect();
        model.gpu.write(&self.pages, 4 * (slot * n) as u64, bytemuck::cast_slice(&pages));
    }

    /// What a step of the decoder attends to.
    pub fn cross(&self, g: &mut Graph, step: &Step) -> CrossStep {
        let n = self.n_slots * self.max_pages();
        let slice = Slice { buffer: self.pages.clone(), offset: 0, len: 4 * n as u64 };
        let pages = g.external("pages of texts", 1, n, crate::graph::Dtype::U32, Binding::Device(slice));
        let batch = Batch { pages, limits: step.limits, max_pages: self.max_pages(), ..step.batch };
        CrossStep { batch, kv: self.kv.tensors(g), max_context: self.context }
    }

    /// The last position of a slot's text.
    pub fn limit(&self, slot: usize) -> u32 {
        self.lengths[slot] as u32 - 1
    }

    /// Fails unless `ids` is a text that the encoder can read.
    pub fn check(&self, model: &Model, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::Input("the text is empty; the encoder needs at least one token".into()));
        }
        if ids.len() > self.context {
            return Err(Error::Input(format!(
                "the text has {} tokens, the encoder reads {}; shorten it or use a larger --context",
                ids.len(),
                self.context
            )));
        }
        let n_vocab = model.decoder.n_vocab;
        match ids.iter().find(|&&id| id as usize >= n_vocab) {
            Some(id) => Err(Error::Input(format!("token {id} is not in the vocabulary of {n_vocab}"))),
            None => Ok(()),
        }
    }

    /// Records the reading of a text of at most `n_tokens`.
    pub fn record(&self, g: &mut Graph, model: &Model, n_tokens: usize) -> Result<()> {
        let (encoder, _) = model.encoder.as_ref().expect("the source was made for one");
        let mut step = self.memory.step(g, encoder, n_tokens, 1);
        step.cross = Some(self.cross(g, &step));
        record_source(g, model, &step, self.activations)
    }

    /// Reads a text, for `slot` to attend to.
    pub fn read(&mut self, model: &Model, ids: &[u32], slot: usize) -> Result<()> {
        self.check(model, ids)?;
        let bucket = [16, 64, 256].into_iter().find(|&n| ids.len() <= n && n <= self.context);
        let bucket = bucket.unwrap_or(self.context);
        if !self.programs.contains_key(&bucket) {
            let mut g = Graph::on(&model.gpu);
            self.record(&mut g, model, bucket)?;
            self.programs.insert(bucket, g.build(&model.gpu, &mut self.scratch)?);
        }
        let mut data = StepData::of(ids, 0, usize::MAX, &[]);
        data.slots = vec![slot as u32; ids.len()];
        data.limits = vec![ids.len() as u32 - 1; ids.len()];
        self.memory.write(&model.gpu, &data);
        model.gpu.run(&self.programs[&bucket].plan, &data.sizes(ids.len()))?;
        self.place(model, slot, slot);
        self.lengths[slot] = ids.len();
        Ok(())
    }

    /// Lets the first `n` slots all attend to the text of slot 0.
    pub fn share(&mut self, model: &Model, n: usize) {
        for slot in 1..n {
            self.place(model, slot, 0);
            self.lengths[slot] = self.lengths[0];
        }
    }
}
