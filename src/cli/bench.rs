//! `aquatint bench`: tokens per second.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use crate::engine::{Engine, Event, Request};
use crate::error::{Bytes, Error, Result};
use crate::graph::Inputs;

/// Measures prompt processing (pp) and text generation (tg) in tokens per second, one row per test.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint bench
  aquatint bench gemma3-270m -p 128,512 -n 64 -r 5
  aquatint bench -p 0 -n 64 -d 0,1024 -b 1,8 --json
  aquatint bench kernels --kernel Q4_1

JSON: {adapter, model, tests: [{n_prompt, n_gen, n_depth, n_batch, avg_ts, stddev_ts, samples_ts}]};
      of kernels: {adapter, copy_bytes_per_second, operations_per_second,
                   kernels: [{kernel, seconds, bytes_per_second, operations_per_second}]}")]
pub struct Bench {
    /// Model by name or path; or `kernels`, to measure the kernels alone.
    #[arg(default_value = crate::store::DEFAULT)]
    model: String,
    /// With `kernels`: only those whose name contains this.
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    kernel: String,
    /// Prompt lengths to measure; 0 for none.
    #[arg(short = 'p', long, value_delimiter = ',', default_value = "128")]
    n_prompt: Vec<usize>,
    /// Numbers of tokens to generate; 0 for none.
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "64")]
    n_gen: Vec<usize>,
    /// Tokens already in the context.
    #[arg(short = 'd', long, value_delimiter = ',', default_value = "0")]
    n_depth: Vec<usize>,
    /// Sequences that generate together.
    #[arg(short = 'b', long, value_delimiter = ',', default_value = "1")]
    n_batch: Vec<usize>,
    /// Repetitions of each test.
    #[arg(short = 'r', long, default_value_t = 3)]
    repetitions: usize,
    /// Also prints where the time goes: seconds per kernel in one generated token.
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// One row of the table.
struct Test {
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    n_batch: usize,
}

impl Bench {
    pub fn run(&self) -> Result<ExitCode> {
        if self.model == "kernels" {
            return super::bench_kernels::run(&self.device, &self.kernel, self.json);
        }
        let tests = self.tests();
        let path = common::resolve(&self.model)?;
        let gpu = self.device.open()?;
        let (model, _) = common::load(&gpu, &path, &self.engine.load.options_without_text())?;
        let mut options = self.engine.options(model.decoder.n_context)?;
        options.n_slots = tests.iter().map(|test| test.n_batch).max().unwrap_or(1);
        let need = tests.iter().map(|t| t.n_prompt + t.n_gen + t.n_depth + 2).max().unwrap_or(1);
        if self.engine.context.is_none() {
            options.context = need;
        }
        if need > options.context {
            return Err(Error::Input(format!("the tests need a context of {need}; use a larger --context")));
        }
        let name = format!("{} {}", model.title, Bytes(model.weight_bytes));
        let mut engine = Engine::new(model, options)?;
        let mut seed = Inputs::new(1);
        let mut results = Vec::new();
        if !self.json {
            common::print_line(&format!("{:<28} {:<22} {:>20}", "model", "test", "tokens/s"))?;
        }
        for test in &tests {
            // Once without measuring: pipelines are compiled and caches filled.
            test.run(&mut engine, &mut seed)?;
            let samples = (0..self.repetitions.max(1))
                .map(|_| test.run(&mut engine, &mut seed))
                .collect::<Result<Vec<f64>>>()?;
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            let square: f64 = samples.iter().map(|s| (s - mean).powi(2)).sum();
            let deviation = (square / (samples.len().max(2) - 1) as f64).sqrt();
            if !self.json {
                common::print_line(&format!("{name:<28} {:<22} {mean:>12.2} ± {deviation:.2}", test.name()))?;
            }
            results.push(json!({
                "n_prompt": test.n_prompt,
                "n_gen": test.n_gen,
                "n_depth": test.n_depth,
                "n_batch": test.n_batch,
                "avg_ts": mean,
                "stddev_ts": deviation,
                "samples_ts": samples,
            }));
        }
        if self.profile {
            self.print_profile(&mut engine)?;
        }
        gpu.save_pipeline_cache()?;
        if self.json {
            common::print_json(&json!({
                "adapter": gpu.adapter().to_string(),
                "model": name,
                "tests": Value::Array(results),
            }))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        for &n_depth in &self.n_depth {
            for &n_prompt in self.n_prompt.iter().filter(|n| **n > 0) {
                tests.push(Test { n_prompt, n_gen: 0, n_depth, n_batch: 1 });
            }
            for &n_gen in self.n_gen.iter().filter(|n| **n > 0) {
                for &n_batch in &self.n_batch {
                    tests.push(Test { n_prompt: 0, n_gen, n_depth, n_batch: n_batch.max(1) });
                }
            }
        }
        tests
    }

    fn print_profile(&self, engine: &mut Engine) -> Result<()> {
        let profile = engine.profile_token()?;
        let mut by_label: Vec<(String, usize, f64)> = Vec::new();
        for step in &profile.steps {
            match by_label.iter_mut().find(|(label, ..)| *label == step.label) {
                Some(row) => {
                    row.1 += 1;
                    row.2 += step.seconds;
                }
                None => by_label.push((step.label.clone(), 1, step.seconds)),
            }
        }
        by_label.sort_by(|a, b| b.2.total_cmp(&a.2));
        let total: f64 = by_label.iter().map(|row| row.2).sum();
        for (label, n, seconds) in by_label {
            let share = 100.0 * seconds / total;
            eprintln!("{:>8.3} ms {share:>5.1} % {n:>4} x {label}", 1e3 * seconds);
        }
        eprintln!("{:>8.3} ms in all", 1e3 * total);
        Ok(())
    }
}

impl Test {
    fn name(&self) -> String {
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

    /// Tokens per second of one run.
    fn run(&self, engine: &mut Engine, seed: &mut Inputs) -> Result<f64> {
        let n_vocab = engine.model().decoder.n_vocab as u32;
        // Other tokens each time, so that no page of an earlier run is shared.
        let mut tokens = |n: usize| -> Vec<u32> { (0..n).map(|_| seed.below(n_vocab)).collect() };
        if self.n_gen == 0 {
            let prompt = tokens(self.n_depth + self.n_prompt);
            if self.n_depth > 0 {
                let request =
                    Request { prompt: prompt[..self.n_depth].to_vec(), max_tokens: 1, ..Request::default() };
                engine.submit(request)?;
                finish(engine, 0)?;
            }
            let start = Instant::now();
            engine.submit(Request { prompt, max_tokens: 1, ..Request::default() })?;
            finish(engine, 0)?;
            return Ok(self.n_prompt as f64 / start.elapsed().as_secs_f64());
        }
        for _ in 0..self.n_batch {
            let request = Request {
                prompt: tokens(self.n_depth + 1),
                max_tokens: self.n_gen + 1,
                ..Request::default()
            };
            engine.submit(request)?;
        }
        let seconds = finish(engine, self.n_batch)?;
        Ok((self.n_batch * self.n_gen) as f64 / seconds)
    }
}

/// Runs until nothing is left; seconds since the `n_first`-th token came.
fn finish(engine: &mut Engine, n_first: usize) -> Result<f64> {
    let mut start = Instant::now();
    let mut n_tokens = 0;
    while engine.busy() {
        for event in engine.step(Duration::MAX)? {
            if matches!(event, Event::Token { .. }) {
                n_tokens += 1;
                if n_tokens == n_first {
                    start = Instant::now();
                }
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
