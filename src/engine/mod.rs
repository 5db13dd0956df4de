//! Sequences in a flat batch over a paged KV cache.
//!
//! An [`Engine`] runs any number of sequences together. Each call of [`Engine::step`] submits one
//! forward pass over what there is to do (prompts in pieces, one token of each sequence that
//! generates) and takes the tokens of an earlier pass: sampling and the feedback of the chosen token
//! happen on the device, so passes are submitted ahead and stops are noticed a pass or two late.

mod attention;
mod beam;
mod encode;
mod generate;
mod kv_pool;
mod load;
mod masked;
mod measure;
mod memory;
mod pace;
mod pages;
mod score;
mod source;
mod stops;
mod watermark;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use attention::{AttentionMap, AttentionPart};
pub use beam::{Beam, BeamOptions};
pub use encode::{Encoded, Encoder, EncoderInput, Pooling, cosine};
pub use generate::{GenerateOptions, Generation, Piece, Stats};
pub use memory::kv_bytes;
pub use watermark::{Detection, detect};

use crate::error::{Error, Result};
use crate::gpu::{AdapterInfo, Device, Gpu, Queue, Readback};
use crate::graph::{Dtype, Graph, POLLS_MAX, Program, Scratch};
use crate::kernels::{FROM_SLOT, PAGE, RECENT_MAX, SlotSampling};
use crate::model::{Head, LoadOptions, Model, Pass, record};
use memory::{Memory, StepData};
use pace::Pace;
use pages::Pages;
use source::Source;

/// The size of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// The longest sequence, in positions.
    pub context: usize,
    /// Sequences that run together.
    pub n_slots: usize,
    /// How keys and values are stored: F16, F32 or Q8.
    pub kv: Dtype,
    /// How the inputs of matrix products are stored: F32, F16, or Q8Sums, which is in blocks of bytes where
    /// the device multiplies those faster and F16 elsewhere.
    pub activations: Dtype,
    /// Tokens in one pass at most; bounds how long a submission takes.
    pub chunk: usize,
    /// On software devices: how often a thread asks whether the others have finished a kernel before it
    /// leaves the kernels after it in the same dispatch to them. 0: each kernel is a dispatch of its own.
    pub polls: u32,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            context: 4096,
            n_slots: 1,
            kv: Dtype::F16,
            activations: Dtype::F16,
            chunk: 128,
            polls: POLLS_MAX,
        }
    }
}

/// Names a sequence of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(u64);

/// What to generate.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What to go on from; in encoder-decoder models the text that the encoder reads.
    pub prompt: Vec<u32>,
    /// Tokens to generate at most.
    pub max_tokens: usize,
    pub sampling: SlotSampling,
    /// Tokens that end the sequence; they are not reported.
    pub end_ids: Vec<u32>,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A token or a text that stops it.
    Stop,
    /// The number of tokens that was asked for.
    Length,
    /// The context is full.
    Context,
}

/// What a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Token { sequence: SequenceId, id: u32 },
    Finished { sequence: SequenceId, finish: Finish },
}

impl Event {
    /// The sequence it is about.
    pub fn sequence(&self) -> SequenceId {
        let (Event::Token { sequence, .. } | Event::Finished { sequence, .. }) = *self;
        sequence
    }
}

struct Sequence {
    id: SequenceId,
    slot: usize,
    /// The prompt and what was generated, as far as the host knows.
    tokens: Vec<u32>,
    prompt_len: usize,
    pages: Vec<u32>,
    /// Positions whose pass was submitted.
    n_submitted: usize,
    /// Tokens to come from passes in flight.
    n_pending: usize,
    max_tokens: usize,
    end_ids: Vec<u32>,
    greedy: bool,
}

struct Flight {
    readback: Readback,
    sequences: Vec<SequenceId>,
    n_tokens: usize,
    start: Instant,
}

/// Tokens that passes are recorded for, beside the most that there can be: on GPUs and on software
/// devices, whose products take up to 8 tokens at once.
const BUCKETS: [&[usize]; 2] = [&[1, 4, 16], &[1, 2, 4, 8]];

/// Passes submitted ahead.
const DEPTH: usize = 2;

/// Runs sequences on a model. Dropping a sequence's last use ends it; dropping the engine frees its memory.
pub struct Engine {
    model: Arc<Model>,
    options: EngineOptions,
    memory: Memory,
    pages: Pages,
    /// In encoder-decoder models.
    source: Option<Source>,
    /// By tokens and outputs at most, and what is done with them.
    programs: HashMap<(usize, usize, Head), (Program, Pass)>,
    scratch: Scratch,
    waiting: VecDeque<(SequenceId, Request)>,
    running: Vec<Sequence>,
    free_slots: Vec<usize>,
    flights: VecDeque<Flight>,
    spare: Vec<Readback>,
    next_id: u64,
    /// Events that came while somebody waited for another sequence.
    kept: Vec<Event>,
    pace: Pace,
    /// When the last pass ended.
    landed: Instant,
    /// See [`Engine::prepare_seconds`].
    compile_seconds: f64,
    prepare_seconds: f64,
}

impl Engine {
    /// Allocates the KV cache and the step's buffers. Pipelines are compiled when first needed.
    ///
    /// Fails if the device does not have the memory.
    pub fn new(model: Arc<Model>, options: EngineOptions) -> Result<Engine> {
        if options.context == 0 || options.n_slots == 0 || options.chunk == 0 {
            return Err(Error::Input("context, sequences and chunk must be at least 1".into()));
        }
        crate::kernels::load_tuning(&model.gpu);
        let n_pages = options.n_slots * options.context.div_ceil(PAGE);
        let n_tokens_max = options.chunk.max(options.n_slots);
        let memory = Memory::new(&model.gpu, &model.decoder, &options, n_tokens_max, n_pages)?;
        Ok(Engine {
            pages: Pages::new(n_pages),
            memory,
            source: Source::new(&model, &options)?,
            programs: HashMap::new(),
            scratch: Scratch::default(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            free_slots: (0..options.n_slots).rev().collect(),
            flights: VecDeque::new(),
            spare: Vec::new(),
            next_id: 0,
            kept: Vec::new(),
            pace: Pace::new(options.chunk, model.gpu.caps().software()),
            landed: Instant::now(),
            model,
            options,
            compile_seconds: 0.0,
            prepare_seconds: 0.0,
        })
    }

    /// An engine on a device that belongs to the application; see [`Gpu::from_device`]. Loads the model at
    /// `path`.
    pub fn with_device(
        device: Device,
        queue: Queue,
        info: &AdapterInfo,
        path: impl AsRef<Path>,
        options: EngineOptions,
    ) -> Result<Engine> {
        let gpu = Gpu::from_device(device, queue, info)?;
        let model = Model::load(&gpu, path, &LoadOptions::default(), &mut |_| {})?;
        Engine::new(Arc::new(model), options)
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub fn gpu(&self) -> &Gpu {
        &self.model.gpu
    }

    /// Bytes of scratch memory allocated so far.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.len()
    }

    /// Whether anything is waiting, running, in flight or still to be reported.
    pub fn busy(&self) -> bool {
        self.at_work() || !self.kept.is_empty()
    }

    fn at_work(&self) -> bool {
        !self.waiting.is_empty() || !self.running.is_empty() || !self.flights.is_empty()
    }

    /// Queues a sequence. It starts when a slot is free.
    ///
    /// Fails if the prompt is empty, does not fit the context or has a token outside of the vocabulary, and
    /// if a setting of the sampling is out of its range.
    pub fn submit(&mut self, request: Request) -> Result<SequenceId> {
        match &self.source {
            Some(source) => source.check(&self.model, &request.prompt)?,
            None => self.check_tokens(&request.prompt)?,
        }
        request.sampling.check()?;
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back((id, request));
        Ok(id)
    }

    /// Ends a sequence at once; nothing more is reported of it.
    pub fn cancel(&mut self, id: SequenceId) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.kept.retain(|event| event.sequence() != id);
        if let Some(at) = self.running.iter().position(|s| s.id == id) {
            self.end(at);
        }
    }

    /// Does a piece of work: submits a pass if there is something to do, and takes the results that
    /// are due. Returns when `budget` is spent, or earlier when something happened or all is done.
    pub fn step(&mut self, budget: Duration) -> Result<Vec<Event>> {
        match self.kept.is_empty() {
            true => self.advance(budget),
            false => Ok(std::mem::take(&mut self.kept)),
        }
    }

    /// Steps for one sequence: its events. Those of others are kept for [`Engine::step`].
    fn step_for(&mut self, own: SequenceId, budget: Duration) -> Result<Vec<Event>> {
        let (events, others) = self.advance(budget)?.into_iter().partition(|event| event.sequence() == own);
        self.kept.extend::<Vec<Event>>(others);
        Ok(events)
    }

    fn advance(&mut self, budget: Duration) -> Result<Vec<Event>> {
        let start = Instant::now();
        let mut events = Vec::new();
        loop {
            self.admit(&mut events)?;
            let submitted = self.flights.len() < DEPTH && self.submit_pass(&mut events, budget)?;
            if !submitted {
                self.land(&mut events, budget.saturating_sub(start.elapsed()))?;
            }
            if !events.is_empty() || !self.at_work() || start.elapsed() >= budget {
                break;
            }
        }
        Ok(events)
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::Input("the prompt is empty; a model needs at least one token".into()));
        }
        if tokens.len() > self.options.context {
            return Err(Error::Input(format!(
                "the prompt has {} tokens, the context holds {}; shorten it or use a larger --context",
                tokens.len(),
                self.options.context
            )));
        }
        let n_vocab = self.model.decoder.n_vocab;
        match tokens.iter().find(|&&id| id as usize >= n_vocab) {
            Some(id) => Err(Error::Input(format!("token {id} is not in the vocabulary of {n_vocab}"))),
            None => Ok(()),
        }
    }

    fn admit(&mut self, events: &mut Vec<Event>) -> Result<()> {
        while !self.free_slots.is_empty() {
            let Some((id, request)) = self.waiting.pop_front() else { break };
            if request.max_tokens == 0 {
                events.push(Event::Finished { sequence: id, finish: Finish::Length });
                continue;
            }
            let slot = self.free_slots.pop().expect("a slot is free");
            // What the decoder goes on from, and its pages that another sequence has filled already.
            let (prompt, pages) = match (&mut self.source, self.model.decoder.start_id) {
                (Some(source), Some(start)) => {
                    source.read(&self.model, &request.prompt, slot)?;
                    (vec![start], Vec::new())
                }
                _ => {
                    let pages = self.pages.shared(&request.prompt);
                    (request.prompt, pages)
                }
            };
            let memory = &self.memory;
            let gpu = &self.model.gpu;
            let size = size_of::<SlotSampling>();
            gpu.write(&memory.settings, (slot * size) as u64, bytemuck::bytes_of(&request.sampling));
            // The ring of recent tokens: the end of the prompt, then how many tokens there were.
            let mut recent = vec![0u32; RECENT_MAX + 1];
            let first = prompt.len().saturating_sub(RECENT_MAX);
            for (i, &token) in prompt.iter().enumerate().skip(first) {
                recent[i % RECENT_MAX] = token;
            }
            recent[RECENT_MAX] = prompt.len() as u32;
            gpu.write(&memory.recent, (4 * slot * (RECENT_MAX + 1)) as u64, bytemuck::cast_slice(&recent));
            let sequence = Sequence {
                id,
                slot,
                n_submitted: pages.len() * PAGE,
                prompt_len: prompt.len(),
                tokens: prompt,
                pages,
                n_pending: 0,
                max_tokens: request.max_tokens,
                end_ids: request.end_ids,
                greedy: request.sampling.is_greedy(),
            };
            self.write_pages(&sequence, 0);
            self.running.push(sequence);
        }
        Ok(())
    }

    /// Writes the page numbers from `first` on of a sequence to the device.
    fn write_pages(&self, sequence: &Sequence, first: usize) {
        if first < sequence.pages.len() {
            let at = 4 * (sequence.slot * self.memory.max_pages + first) as u64;
            self.model.gpu.write(&self.memory.pages, at, bytemuck::cast_slice(&sequence.pages[first..]));
        }
    }

    /// Submits one pass over what the running sequences have to do. False if there is nothing.
    fn submit_pass(&mut self, events: &mut Vec<Event>, budget: Duration) -> Result<bool> {
        let most = self.pace.chunk(budget).max(self.options.n_slots);
        let mut data = StepData::default();
        let mut outputs_of = Vec::new();
        let mut n_context = 0;
        let mut full = Vec::new();
        for at in 0..self.running.len() {
            let room = most - data.ids.len();
            let s = &self.running[at];
            let n_known = s.tokens.len() - s.n_submitted.min(s.tokens.len());
            let n_generated = s.tokens.len() - s.prompt_len + s.n_pending;
            let in_prompt = s.n_submitted < s.prompt_len;
            // One place for every sequence after this one.
            let n = if in_prompt { n_known.min(room.saturating_sub(self.running.len() - at - 1)) } else { 1 };
            if n == 0 || (!in_prompt && n_generated >= s.max_tokens) {
                continue;
            }
            if s.n_submitted + n > self.options.context {
                if s.n_pending == 0 {
                    full.push(s.id);
                }
                continue;
            }
            self.extend_pages(at, n)?;
            let s = &mut self.running[at];
            for i in 0..n {
                let position = s.n_submitted + i;
                data.ids.push(if in_prompt { s.tokens[position] } else { FROM_SLOT });
                data.positions.push(position as u32);
                data.slots.push(s.slot as u32);
                data.limits.extend(self.source.as_ref().map(|source| source.limit(s.slot)));
            }
            s.n_submitted += n;
            n_context = n_context.max(s.n_submitted);
            if s.n_submitted >= s.prompt_len {
                data.outputs.push(data.ids.len() as u32 - 1);
                data.output_slots.push(s.slot as u32);
                data.output_positions.push(s.n_submitted as u32);
                outputs_of.push(at);
            }
            self.publish(at, n);
        }
        for id in full {
            events.push(Event::Finished { sequence: id, finish: Finish::Context });
            self.cancel(id);
        }
        if data.ids.is_empty() {
            return Ok(false);
        }
        let greedy = outputs_of.iter().all(|&at| self.running[at].greedy);
        let sizes = data.sizes(n_context);
        let mut sequences = Vec::new();
        for &at in &outputs_of {
            self.running[at].n_pending += 1;
            sequences.push(self.running[at].id);
        }
        let bucket = self.bucket(data.ids.len());
        let key = self.prepare(bucket, self.options.n_slots, Head::Sample { greedy })?;
        let (program, pass) = &self.programs[&key];
        let gpu = &self.model.gpu;
        // Compiling a program is no part of a pass's time.
        let start = Instant::now();
        self.memory.write(gpu, &data);
        let mut submission = gpu.begin();
        submission.replay(&program.plan, &sizes);
        let tokens = pass.sampled.as_ref().expect("the pass samples").tokens;
        let slice = program.slice(tokens).expect("the pass writes its tokens");
        let mut readback = match self.spare.pop() {
            Some(readback) => readback,
            None => Readback::new(gpu, 4 * self.options.n_slots as u64)?,
        };
        submission
            .read_back(&mut readback, &[(slice.buffer.clone(), slice.offset, 4 * sequences.len() as u64)]);
        submission.submit_for(&mut readback)?;
        let n_tokens = data.ids.len();
        self.pace.submitted(n_tokens, start.elapsed(), budget);
        self.flights.push_back(Flight { readback, sequences, n_tokens, start });
        Ok(true)
    }

    /// Takes pages for `n` more positions.
    fn extend_pages(&mut self, at: usize, n: usize) -> Result<()> {
        let s = &self.running[at];
        let first = s.pages.len();
        let need = (s.n_submitted + n).div_ceil(PAGE);
        for _ in first..need {
            let page = self.pages.take()?;
            self.running[at].pages.push(page);
        }
        self.write_pages(&self.running[at], first);
        Ok(())
    }

    /// Offers the prompt's pages that the last `n` positions filled to other sequences.
    fn publish(&mut self, at: usize, n: usize) {
        if self.source.is_some() {
            // What these pages hold depends on the text, too.
            return;
        }
        let s = &self.running[at];
        let first = (s.n_submitted - n) / PAGE;
        let end = s.n_submitted.min(s.prompt_len) / PAGE;
        for i in first..end {
            let parent = (i > 0).then(|| s.pages[i - 1]);
            self.pages.publish(s.pages[i], parent, &s.tokens[i * PAGE..(i + 1) * PAGE]);
        }
    }

    /// Takes the tokens of the oldest pass in flight, if it ends before `timeout` does.
    fn land(&mut self, events: &mut Vec<Event>, timeout: Duration) -> Result<()> {
        let Some(mut flight) = self.flights.pop_front() else { return Ok(()) };
        if !flight.readback.ready(&self.model.gpu, timeout)? {
            self.flights.push_front(flight);
            return Ok(());
        }
        let bytes = flight.readback.wait(&self.model.gpu)?;
        self.spare.push(flight.readback);
        // The device began when the pass before this one had ended.
        self.pace.landed(flight.n_tokens, flight.start.max(self.landed).elapsed());
        self.landed = Instant::now();
        for (i, &sequence) in flight.sequences.iter().enumerate() {
            // Gone if it ended while this pass was in flight.
            let Some(at) = self.running.iter().position(|s| s.id == sequence) else { continue };
            let id = u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
            let s = &mut self.running[at];
            s.n_pending -= 1;
            if s.end_ids.contains(&id) {
                events.push(Event::Finished { sequence, finish: Finish::Stop });
                self.end(at);
                continue;
            }
            s.tokens.push(id);
            events.push(Event::Token { sequence, id });
            if s.tokens.len() - s.prompt_len >= s.max_tokens {
                events.push(Event::Finished { sequence, finish: Finish::Length });
                self.end(at);
            }
        }
        Ok(())
    }

    fn end(&mut self, at: usize) {
        let s = self.running.remove(at);
        // Passes in flight may still write to these pages. What reuses them is submitted later, and
        // the device works in order.
        self.pages.release(&s.pages);
        self.free_slots.push(s.slot);
    }

    /// The numbers of tokens that passes are recorded for.
    pub fn buckets(&self) -> Vec<usize> {
        let most = self.most();
        self.small_buckets().filter(|&bucket| bucket < most).chain([most]).collect()
    }

    fn most(&self) -> usize {
        self.options.chunk.max(self.options.n_slots)
    }

    /// All but the largest. Compiling takes longer on software devices than the end of a prompt does, so
    /// there only answers that are written together have passes of few tokens.
    fn small_buckets(&self) -> impl Iterator<Item = usize> + use<> {
        let (software, n_slots) = (self.model.gpu.caps().software(), self.options.n_slots);
        let buckets = BUCKETS[usize::from(software)];
        // Sequences that fit a smaller pass need no larger one.
        let used = move |i: &usize| !software || *i == 0 || buckets[i - 1] < n_slots;
        (0..buckets.len()).filter(used).map(move |i| buckets[i])
    }

    /// The smallest program that holds `n` tokens.
    fn bucket(&self, n: usize) -> usize {
        let most = self.most();
        self.small_buckets().find(|&bucket| n <= bucket && bucket <= most).unwrap_or(most)
    }

    /// Records and compiles the program for `n_tokens` tokens, unless that was done before.
    fn prepare(&mut self, n_tokens: usize, n_outputs: usize, head: Head) -> Result<(usize, usize, Head)> {
        let key = (n_tokens, n_outputs.min(n_tokens), head);
        if !self.programs.contains_key(&key) {
            let start = Instant::now();
            let built = self.build(key, false)?;
            self.programs.insert(key, built);
            self.prepare_seconds += start.elapsed().as_secs_f64();
        }
        Ok(key)
    }

    /// The program of a key, with each kernel a dispatch of its own if `apart`.
    fn build(&mut self, key: (usize, usize, Head), apart: bool) -> Result<(Program, Pass)> {
        let (n_tokens, n_outputs, head) = key;
        let mut g = Graph::on(&self.model.gpu);
        g.set_polls(if apart { 0 } else { self.options.polls });
        let mut step = self.memory.step(&mut g, &self.model.decoder, n_tokens, n_outputs);
        step.cross = self.source.as_ref().map(|source| source.cross(&mut g, &step));
        let pass = record(&mut g, &self.model, &step, head, self.options.activations)?;
        Ok((g.build(&self.model.gpu, &mut self.scratch)?, pass))
    }

    /// The program of a pass over at most `n_tokens` tokens with one output, for looking at.
    pub fn program(&mut self, n_tokens: usize, head: Head) -> Result<&Program> {
        let key = self.prepare(n_tokens, 1, head)?;
        Ok(&self.programs[&key].0)
    }
}
