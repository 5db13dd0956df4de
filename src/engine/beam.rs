//! Beam search: the likeliest continuations found by following several at once.
//!
//! Candidates, lengths and the end of the search are those of the `transformers` library, so that the
//! same model gives the same texts. Source: Sutskever et al. 2014, arXiv:1409.3215, section 3.2; the
//! length penalty is Wu et al. 2016, arXiv:1609.08144, section 7, in its common short form.

use std::collections::HashSet;

use super::memory::StepData;
use super::{Engine, Finish, PAGE};
use crate::error::{Error, Result};
use crate::model::Head;

/// How to search.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamOptions {
    /// Texts followed at once; the engine must have as many slots.
    pub n_beams: usize,
    /// Tokens at most.
    pub max_tokens: usize,
    /// Scores are divided by the length to this power: above 0 prefers long texts.
    pub length_penalty: f64,
    /// Goes on past the model's end tokens.
    pub ignore_end: bool,
    /// Tokens that end a text. Empty: the tokenizer's.
    pub end_ids: Vec<u32>,
}

impl Default for BeamOptions {
    fn default() -> BeamOptions {
        BeamOptions {
            n_beams: 4,
            max_tokens: 512,
            length_penalty: 1.0,
            ignore_end: false,
            end_ids: Vec::new(),
        }
    }
}

/// A text that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Beam {
    /// Without the token that ended it.
    pub ids: Vec<u32>,
    /// The sum of the log-probabilities over the length to the power of the penalty.
    pub score: f64,
    pub finish: Finish,
}

/// A text that is followed.
struct Path {
    ids: Vec<u32>,
    sum: f64,
    pages: Vec<u32>,
}

impl Engine {
    /// The `n_beams` best continuations of a prompt, or in encoder-decoder models answers to a text, the
    /// best first.
    ///
    /// Fails while sequences are running, and if the engine has fewer slots than beams.
    pub fn beam_search(&mut self, prompt: &[u32], options: &BeamOptions) -> Result<Vec<Beam>> {
        let n_beams = options.n_beams;
        if n_beams == 0 || n_beams > self.options.n_slots {
            return Err(Error::Input(format!(
                "{n_beams} beams: expected 1 to the engine's {} sequences",
                self.options.n_slots
            )));
        }
        let end_ids = match (&self.model.tokenizer, options.ignore_end, options.end_ids.is_empty()) {
            (_, true, _) => Vec::new(),
            (Some(tokenizer), _, true) => tokenizer.end_ids().to_vec(),
            _ => options.end_ids.clone(),
        };
        let start = match self.model.decoder.start_id {
            Some(start) => {
                self.read_source(prompt)?;
                vec![start]
            }
            None => prompt.to_vec(),
        };
        self.check_tokens(&start)?;
        let room = self.options.context.saturating_sub(start.len());
        let max_tokens = options.max_tokens.min(room);
        let pages = self.fresh_pages(start.len())?;
        let mut paths = vec![Path { ids: Vec::new(), sum: 0.0, pages }];
        let result = self.follow(&start, &mut paths, max_tokens, &end_ids, options);
        let used: HashSet<u32> = paths.iter().flat_map(|path| path.pages.iter().copied()).collect();
        self.pages.release(&used.into_iter().collect::<Vec<_>>());
        let finish = if max_tokens < options.max_tokens { Finish::Context } else { Finish::Length };
        let mut found = result?;
        for beam in &mut found {
            if beam.finish == Finish::Length {
                beam.finish = finish;
            }
        }
        Ok(found)
    }

    fn follow(
        &mut self,
        start: &[u32],
        paths: &mut Vec<Path>,
        max_tokens: usize,
        end_ids: &[u32],
        options: &BeamOptions,
    ) -> Result<Vec<Beam>> {
        let n_beams = options.n_beams;
        let mut finished: Vec<Beam> = Vec::new();
        if max_tokens == 0 {
            return Ok(finished);
        }
        let mut rows = self.last_logits(start)?;
        if let Some(source) = &mut self.source {
            source.share(&self.model, n_beams);
        }
        // Positions in the cache.
        let mut len = start.len();
        for n in 1..=max_tokens {
            let candidates = candidates(&rows, paths, (1 + end_ids.len()) * n_beams);
            let normalise = |sum: f64| sum / (n as f64).powf(options.length_penalty);
            let mut next = Vec::new();
            for (i, (at, id, sum)) in candidates.into_iter().enumerate() {
                let ends = end_ids.contains(&id);
                if (ends || n == max_tokens) && i < n_beams {
                    let mut ids = paths[at].ids.clone();
                    if !ends {
                        ids.push(id);
                    }
                    let finish = if ends { Finish::Stop } else { Finish::Length };
                    finished.push(Beam { ids, score: normalise(sum), finish });
                }
                if !ends && next.len() < n_beams {
                    next.push((at, id, sum));
                }
            }
            finished.sort_by(|a, b| b.score.total_cmp(&a.score));
            finished.truncate(n_beams);
            let best = next.first().map_or(f64::NEG_INFINITY, |&(_, _, sum)| normalise(sum));
            let full = finished.len() == n_beams;
            if n == max_tokens || next.is_empty() || full && best <= finished[n_beams - 1].score {
                break;
            }
            self.branch(paths, &next, len)?;
            rows = self.step_paths(paths, len)?;
            len += 1;
        }
        Ok(finished)
    }

    /// Logits after the last of `tokens`, which run in slot 0.
    fn last_logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        let n_vocab = self.model.decoder.n_vocab;
        let mut rows = Vec::new();
        let chunk = self.options.chunk;
        self.run_passes(tokens, tokens.len() - 1, &[], Head::Logits, (chunk, 1), &mut |values, _| {
            rows = vec![values[..n_vocab].iter().map(|&v| v as f32).collect()];
        })?;
        Ok(rows)
    }

    /// Makes the paths those of `next` (path, token, sum), whose cache holds `len` positions.
    fn branch(&mut self, paths: &mut Vec<Path>, next: &[(usize, u32, f64)], len: usize) -> Result<()> {
        let kept: HashSet<u32> = next.iter().flat_map(|&(at, ..)| paths[at].pages.iter().copied()).collect();
        let all: HashSet<u32> = paths.iter().flat_map(|path| path.pages.iter().copied()).collect();
        let mut gone: Vec<u32> = all.difference(&kept).copied().collect();
        gone.sort_unstable();
        self.pages.release(&gone);
        let is_partial = !len.is_multiple_of(PAGE);
        let (mut claimed, mut copies, mut new) = (HashSet::new(), Vec::new(), Vec::new());
        for &(at, id, sum) in next {
            let mut pages = paths[at].pages.clone();
            if !is_partial {
                pages.push(self.pages.take()?);
            } else if let Some(last) = pages.last_mut()
                && !claimed.insert(*last)
            {
                let page = self.pages.take()?;
                copies.push((*last, page));
                *last = page;
            }
            let mut ids = paths[at].ids.clone();
            ids.push(id);
            new.push(Path { ids, sum, pages });
        }
        self.memory.kv.copy(&self.model.gpu, &copies)?;
        *paths = new;
        Ok(())
    }

    /// One step of all paths, each in its own slot: the logits after each.
    fn step_paths(&mut self, paths: &[Path], len: usize) -> Result<Vec<Vec<f32>>> {
        let mut data = StepData::default();
        for (slot, path) in paths.iter().enumerate() {
            let at = 4 * (slot * self.memory.max_pages) as u64;
            self.model.gpu.write(&self.memory.pages, at, bytemuck::cast_slice(&path.pages));
            data.ids.push(path.ids.last().copied().unwrap_or(0));
            data.positions.push(len as u32);
            data.slots.push(slot as u32);
            data.limits.push(self.source.as_ref().map_or(0, |source| source.limit(slot)));
            data.outputs.push(slot as u32);
            data.output_slots.push(slot as u32);
            data.output_positions.push(len as u32 + 1);
        }
        let n_vocab = self.model.decoder.n_vocab;
        let key = self.prepare(self.bucket(paths.len()), paths.len(), Head::Logits)?;
        let (program, pass) = &self.programs[&key];
        let gpu = &self.model.gpu;
        self.memory.write(gpu, &data);
        gpu.run(&program.plan, &data.sizes(len + 1))?;
        let logits = pass.logits.expect("the pass was recorded with logits");
        let values = program.read(gpu, logits)?;
        let rows = values.chunks(logits.pitch()).take(paths.len());
        Ok(rows.map(|row| row[..n_vocab].iter().map(|&v| v as f32).collect()).collect())
    }
}

/// The `n` best (path, token, sum of log-probabilities), the best first.
fn candidates(rows: &[Vec<f32>], paths: &[Path], n: usize) -> Vec<(usize, u32, f64)> {
    let mut all = Vec::new();
    for (at, (row, path)) in rows.iter().zip(paths).enumerate() {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let total: f64 = row.iter().map(|&v| (f64::from(v) - largest).exp()).sum();
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        let by_logit = |&a: &u32, &b: &u32| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b));
        if n < order.len() {
            order.select_nth_unstable_by(n, by_logit);
            order.truncate(n);
        }
        let log = |id: u32| f64::from(row[id as usize]) - largest - total.ln();
        all.extend(order.into_iter().map(|id| (at, id, path.sum + log(id))));
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    all.truncate(n);
    all
}
