//! Generating text: an iterator and an async stream of pieces, with stop strings.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::stops::Stops;
use super::{Engine, Event, Finish, Request, SequenceId};
use crate::error::Result;
use crate::kernels::SlotSampling;
use crate::text::{Decode, DecodeStream, Tokenizer};

/// What to generate from a prompt.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Tokens at most.
    pub max_tokens: usize,
    pub sampling: SlotSampling,
    /// Texts that end the generation. They and what follows them are not returned.
    pub stop: Vec<String>,
    /// Goes on past the model's end tokens.
    pub ignore_end: bool,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions {
            max_tokens: 512,
            sampling: SlotSampling::default(),
            stop: Vec::new(),
            ignore_end: false,
        }
    }
}

/// A piece of generated text. It may be empty: a token can be a part of a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub id: u32,
    pub text: String,
}

/// How a generation went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    pub n_prompt: usize,
    pub n_generated: usize,
    /// From the start to the first token.
    pub first_token: Option<Duration>,
    /// From the first token to the last.
    pub rest: Duration,
}

impl Stats {
    /// Tokens per second after the first.
    pub fn tokens_per_second(&self) -> f64 {
        (self.n_generated.saturating_sub(1)) as f64 / self.rest.as_secs_f64().max(1e-9)
    }
}

/// A generation under way: an iterator, and a stream, of pieces. Dropping it cancels it.
pub struct Generation<'e> {
    engine: &'e mut Engine,
    sequence: SequenceId,
    decode: DecodeStream<Arc<Tokenizer>>,
    stops: Stops,
    /// What of them came up.
    stopped_by: Option<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
    ready: std::collections::VecDeque<Piece>,
    finish: Option<Finish>,
    start: Instant,
    stats: Stats,
    ids: Vec<u32>,
}

impl Engine {
    /// Generates from the tokens of a prompt. Other sequences of the engine go on meanwhile.
    ///
    /// Fails if the prompt is empty or too long, or if the model has no tokenizer.
    pub fn generate(&mut self, prompt: &[u32], options: &GenerateOptions) -> Result<Generation<'_>> {
        let start = Instant::now();
        let tokenizer = self.model.tokenizer()?.clone();
        let end_ids = if options.ignore_end { Vec::new() } else { tokenizer.end_ids().to_vec() };
        let request = Request {
            prompt: prompt.to_vec(),
            max_tokens: options.max_tokens,
            sampling: options.sampling,
            end_ids,
        };
        let sequence = self.submit(request)?;
        // Beside an encoder a text starts; otherwise it goes on from the prompt.
        let start_of_text = self.source.is_some();
        Ok(Generation {
            engine: self,
            sequence,
            decode: DecodeStream::new(tokenizer, Decode { special: false, start: start_of_text }),
            stops: Stops::new(&options.stop),
            stopped_by: None,
            held: String::new(),
            ready: std::collections::VecDeque::new(),
            finish: None,
            start,
            stats: Stats { n_prompt: prompt.len(), ..Stats::default() },
            ids: Vec::new(),
        })
    }
}

impl Engine {
    /// The tokens that follow a prompt. Needs no tokenizer; stop strings are not looked for.
    pub fn generate_ids(&mut self, prompt: &[u32], options: &GenerateOptions) -> Result<Vec<u32>> {
        let end_ids = match &self.model.tokenizer {
            Some(tokenizer) if !options.ignore_end => tokenizer.end_ids().to_vec(),
            _ => Vec::new(),
        };
        let own = self.submit(Request {
            prompt: prompt.to_vec(),
            max_tokens: options.max_tokens,
            sampling: options.sampling,
            end_ids,
        })?;
        let mut ids = Vec::new();
        loop {
            for event in self.step_for(own, Duration::MAX)? {
                match event {
                    Event::Token { id, .. } => ids.push(id),
                    Event::Finished { .. } => return Ok(ids),
                }
            }
        }
    }
}

impl Generation<'_> {
    /// Also ends before any of these phrases, in capitals or not. They are not returned.
    #[must_use]
    pub fn stop_on(mut self, phrases: &[String]) -> Self {
        self.stops.add_any_case(phrases);
        self
    }

    /// The stop text or phrase that ended it.
    pub fn stopped_by(&self) -> Option<&str> {
        self.stopped_by.as_deref()
    }

    /// Why it ended; `None` while it goes on.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The tokens so far.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Works for about `budget` and returns the pieces that came out; `None` when it has ended.
    pub fn poll_for(&mut self, budget: Duration) -> Result<Option<Vec<Piece>>> {
        if self.finish.is_none() {
            for event in self.engine.step_for(self.sequence, budget)? {
                self.take(event);
            }
        }
        let pieces: Vec<Piece> = self.ready.drain(..).collect();
        Ok(if pieces.is_empty() && self.finish.is_some() { None } else { Some(pieces) })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Token { id, .. } if self.finish.is_none() => {
                let now = self.start.elapsed();
                let first = *self.stats.first_token.get_or_insert(now);
                self.stats.rest = now - first;
                self.stats.n_generated += 1;
                self.ids.push(id);
                let text = self.decode.push(id).unwrap_or_default();
                self.held.push_str(&text);
                self.release(id);
            }
            Event::Finished { finish, .. } if self.finish.is_none() => {
                self.finish = Some(finish);
                let rest = std::mem::take(&mut self.held) + &self.decode.finish().unwrap_or_default();
                if !rest.is_empty() {
                    let id = self.ids.last().copied().unwrap_or(0);
                    self.ready.push_back(Piece { id, text: rest });
                }
            }
            _ => {}
        }
    }

    /// Gives out the held text but for an end that a stop string might begin with.
    fn release(&mut self, id: u32) {
        if let Some((at, stop)) = self.stops.find(&self.held) {
            self.stopped_by = Some(stop.to_owned());
            self.held.truncate(at);
            let text = std::mem::take(&mut self.held);
            self.ready.push_back(Piece { id, text });
            self.finish = Some(Finish::Stop);
            self.engine.cancel(self.sequence);
            return;
        }
        let keep = self.stops.overlap(&self.held);
        let text = self.held[..self.held.len() - keep].to_owned();
        self.held.drain(..text.len());
        self.ready.push_back(Piece { id, text });
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if self.finish.is_some() {
                return None;
            }
            match self.engine.step_for(self.sequence, Duration::MAX) {
                Ok(events) => events.into_iter().for_each(|event| self.take(event)),
                Err(error) => {
                    self.finish = Some(Finish::Stop);
                    return Some(Err(error));
                }
            }
        }
    }
}

impl futures::Stream for Generation<'_> {
    type Item = Result<Piece>;

    /// Does a little work at each poll and asks to be polled again.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Piece>>> {
        const SLICE: Duration = Duration::from_millis(2);
        let this = self.get_mut();
        if this.ready.is_empty() && this.finish.is_none() {
            match this.engine.step_for(this.sequence, SLICE) {
                Ok(events) => events.into_iter().for_each(|event| this.take(event)),
                Err(error) => {
                    this.finish = Some(Finish::Stop);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        match this.ready.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            None if this.finish.is_some() => Poll::Ready(None),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        self.engine.cancel(self.sequence);
    }
}
