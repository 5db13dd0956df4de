//! One row of the table: a number of tokens of prompt or of answer, at a depth, in a batch.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::meter;
use super::rates::{self, Rates};
use crate::engine::{Engine, Event, Request};
use crate::error::Result;
use crate::gpu::HostWork;
use crate::graph::Inputs;

pub struct Test {
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    pub n_batch: usize,
}

/// What one run took.
struct Sample {
    seconds: f64,
    cpu_seconds: Option<f64>,
    host: HostWork,
}

pub const HEADER: &str = "test                       tokens/s             rate         share  host us/dispatch  idle   \
                          CPU s/token";

/// A row of the table, from its part of the report.
pub fn row(test: &Value) -> String {
    let number = |name: &str| test[name].as_f64();
    let percent = |name: &str| number(name).map_or("-".into(), |share| format!("{:.1} %", 100.0 * share));
    let (rate, unit, share) = match number("bytes_per_second") {
        Some(rate) => (rate, "GB/s", percent("bandwidth_share")),
        None => (number("operations_per_second").unwrap_or(0.0), "GFLOP/s", percent("product_share")),
    };
    format!(
        "{:<20} {:>10.2} ± {:<7.2} {:>8.2} {unit:<7} {share:>8} {:>14.2} {:>9} {:>13}",
        test["name"].as_str().unwrap_or(""),
        number("avg_ts").unwrap_or(0.0),
        number("stddev_ts").unwrap_or(0.0),
        rate / 1e9,
        number("host_us_per_dispatch").unwrap_or(0.0),
        percent("idle_share"),
        number("cpu_seconds_per_token").map_or("-".into(), |s| format!("{s:.4}")),
    )
}

impl Test {
    pub fn name(&self) -> String {
        let mut name =
            if self.n_gen == 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
        if self.n_depth > 0 {
            name += &format!(" @ d{}", self.n_depth);
        }
        if self.n_batch > 1 {
            name += &format!(" x {}", self.n_batch);
        }
        name
    }

    /// Runs the test `n` times after a first time that compiles pipelines and fills caches; its part of
    /// the report.
    pub fn measure(&self, engine: &mut Engine, seed: &mut Inputs, n: usize, rates: &Rates) -> Result<Value> {
        self.run(engine, seed)?;
        let samples = (0..n).map(|_| self.run(engine, seed)).collect::<Result<Vec<Sample>>>()?;
        let n_tokens = if self.n_gen == 0 { self.n_prompt } else { self.n_gen * self.n_batch } as f64;
        let speeds: Vec<f64> = samples.iter().map(|sample| n_tokens / sample.seconds).collect();
        let mean = speeds.iter().sum::<f64>() / n as f64;
        let square: f64 = speeds.iter().map(|s| (s - mean).powi(2)).sum();
        let seconds = median(samples.iter().map(|sample| sample.seconds));
        let cpu: Option<Vec<f64>> = samples.iter().map(|sample| sample.cpu_seconds).collect();
        let cpu = cpu.map(|all| median(all.into_iter()));
        let software = engine.gpu().caps().software();
        // On software devices, rates are of CPU time, as the device's own are.
        let spent = cpu.filter(|_| software).unwrap_or(seconds);
        let (bytes, operations) = rates::work(engine, self)?;
        let dispatches: u64 = samples.iter().map(|sample| sample.host.n_dispatches).sum();
        let submissions: u64 = samples.iter().map(|sample| sample.host.n_submissions).sum();
        let per_dispatch = median(samples.iter().map(|s| s.host.seconds_per_dispatch(!software)));
        let idle = self.idle(engine, seconds, cpu)?;
        let n_steps = (if self.n_gen == 0 { 1 } else { self.n_gen } * n) as f64;
        let is_decode = self.n_gen > 0;
        Ok(json!({
            "name": self.name(),
            "n_prompt": self.n_prompt,
            "n_gen": self.n_gen,
            "n_depth": self.n_depth,
            "n_batch": self.n_batch,
            "avg_ts": mean,
            "stddev_ts": (square / (n.max(2) - 1) as f64).sqrt(),
            "samples_ts": speeds,
            "bytes_per_second": is_decode.then_some(bytes / spent),
            "bandwidth_share": is_decode.then_some(bytes / spent / rates.copy),
            "operations_per_second": operations / spent,
            "product_share": (!is_decode).then_some(operations / spent / rates.product),
            "host_us_per_dispatch": 1e6 * per_dispatch,
            // A pass is one submission.
            "dispatches_per_step": dispatches as f64 / submissions.max(1) as f64,
            // Below 1 for short answers: a pass or two were sent before the first token came.
            "submissions_per_step": submissions as f64 / n_steps,
            "idle_share": idle,
            "cpu_seconds_per_token": cpu.map(|cpu| cpu / n_tokens),
        }))
    }

    /// The share of the time that the device does nothing: on a GPU, beside its time for the same passes
    /// alone; on a software device, beside all cores.
    fn idle(&self, engine: &mut Engine, seconds: f64, cpu: Option<f64>) -> Result<Option<f64>> {
        if engine.gpu().caps().software() {
            let n_cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
            return Ok(cpu.map(|cpu| (1.0 - cpu / (seconds * n_cores)).max(0.0)));
        }
        if self.n_gen == 0 || self.n_batch > 1 || !engine.gpu().caps().timestamps {
            return Ok(None);
        }
        let busy = engine.pass_seconds(1, self.n_depth + self.n_gen / 2)?;
        Ok(Some((1.0 - busy * self.n_gen as f64 / seconds).max(0.0)))
    }

    fn run(&self, engine: &mut Engine, seed: &mut Inputs) -> Result<Sample> {
        let n_vocab = engine.model().decoder.n_vocab as u32;
        // Other tokens each time, so that no page of an earlier run is shared.
        let mut tokens = |n: usize| -> Vec<u32> { (0..n).map(|_| seed.below(n_vocab)).collect() };
        let (n_sequences, n_read, n_written) = match self.n_gen {
            0 => (1, self.n_prompt, 1),
            n => (self.n_batch, 1, n + 1),
        };
        let prompts: Vec<Vec<u32>> = (0..n_sequences).map(|_| tokens(self.n_depth + n_read)).collect();
        if self.n_depth > 0 {
            // So that sequences find what they are behind, and begin together.
            for prompt in &prompts {
                let prompt = prompt[..self.n_depth].to_vec();
                engine.submit(Request { prompt, max_tokens: 1, ..Request::default() })?;
            }
            finish(engine, 0)?;
        }
        for prompt in prompts {
            engine.submit(Request { prompt, max_tokens: n_written, ..Request::default() })?;
        }
        finish(engine, if self.n_gen == 0 { 0 } else { n_sequences })
    }
}

/// Runs until nothing is left; what that took since the `n_first`-th token came.
fn finish(engine: &mut Engine, n_first: usize) -> Result<Sample> {
    let now = |engine: &Engine| (Instant::now(), meter::cpu_seconds(), engine.gpu().host_work());
    let mut start = now(engine);
    let mut n_tokens = 0;
    while engine.busy() {
        for event in engine.step(Duration::MAX)? {
            if matches!(event, Event::Token { .. }) {
                n_tokens += 1;
                if n_tokens == n_first {
                    start = now(engine);
                }
            }
        }
    }
    let end = now(engine);
    Ok(Sample {
        seconds: (end.0 - start.0).as_secs_f64(),
        cpu_seconds: end.1.zip(start.1).map(|(end, start)| end - start),
        host: end.2 - start.2,
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
