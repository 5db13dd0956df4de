//! `aquatint bench`: tokens per second, and what they are a share of.
//!
//! Everything that is measured goes into one JSON object, the report; the table, the page and the
//! comparison are views of it.

mod compare;
mod html;
mod rates;
mod synthetic;
mod test;
mod trace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use super::meter;
use crate::engine::Engine;
use crate::error::{Bytes, Error, Result};
use crate::gpu::Gpu;
use crate::graph::Inputs;
use crate::model::Model;
use rates::Rates;
use test::Test;

/// Measures prompt processing (pp) and text generation (tg) in tokens per second, one row per test.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint bench
  aquatint bench gemma3-270m -p 128,512 -n 64 -r 5
  aquatint bench -p 0 -n 64 -d 0,1024 -b 1,8 --json > before.json
  aquatint bench -p 0 -n 64 -d 0,1024 -b 1,8 --compare before.json --html speed.html
  aquatint bench --synthetic llama-1b:q4_k -p 64 -n 16
  aquatint bench --trace steps.json
  aquatint bench kernels --kernel Q4_1

Shares: of decode, the bytes of weights and of keys and values that a step reads, per second, over those that copies
read and write; of prompts, the operations per second over those of the best matrix product measured alone. On
software devices, rates are per second of CPU time, and idle is what is left of all cores' time.

JSON: {schema, adapter, software, cores, model, weight_bytes, load_seconds, compile: {pipelines, seconds},
       rates: {copy_bytes_per_second, product, product_operations_per_second, operations_per_second},
       kernels_per_token, dispatches_per_token, dispatches_per_layer,
       tests: [{name, n_prompt, n_gen, n_depth, n_batch, avg_ts, stddev_ts, samples_ts, bytes_per_second,
                bandwidth_share, operations_per_second, product_share, host_us_per_dispatch, dispatches_per_step,
                submissions_per_step, idle_share, cpu_seconds_per_token}],
       kernels: [{pass, kernel, n, seconds, bytes, operations}], kernels_by,
       peak_device_bytes, peak_host_bytes};
      of kernels: {adapter, copy_bytes_per_second, operations_per_second,
                   kernels: [{kernel, seconds, bytes_per_second, operations_per_second}]}")]
pub struct Bench {
    /// Model by name or path; or `kernels`, to measure the kernels alone.
    #[arg(default_value = crate::store::DEFAULT, conflicts_with = "synthetic")]
    model: String,
    /// A well-known model's size with made-up weights: llama-1b:q4_k, qwen3-0.6b:f16, gemma3-270m:q8_0.
    #[arg(long, value_name = "ARCH-SIZE:FORMAT")]
    synthetic: Option<String>,
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
    /// Prints each test's ratio to that of an earlier `--json`, and whether it is beyond the spread.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Writes a page with plots: roofline, tokens per second by depth, time per kernel.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes what host and device do during a short prompt and answer, for chrome://tracing or Perfetto.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// The layout of the report. Raised when a field changes its meaning.
const SCHEMA: &str = "aquatint-bench-1";

impl Bench {
    pub fn run(&self) -> Result<ExitCode> {
        if self.model == "kernels" {
            return super::bench_kernels::run(&self.device, &self.kernel, self.json);
        }
        // Read first: a mistake in its name should not cost the measurements.
        let old = self.compare.as_deref().map(compare::read).transpose()?;
        let tests = self.tests();
        let (gpu, model, load_seconds) = self.load()?;
        let mut options = self.engine.options(model.decoder.n_context)?;
        options.n_slots = tests.iter().map(|test| test.n_batch).max().unwrap_or(1);
        let need = tests.iter().map(|t| t.n_prompt + t.n_gen + t.n_depth + 2).max().unwrap_or(1);
        if self.engine.context.is_none() {
            options.context = need;
        }
        if need > options.context {
            return Err(Error::Input(format!("the tests need a context of {need}; use a larger --context")));
        }
        let title = self.synthetic.clone().unwrap_or_else(|| model.title.to_owned());
        let name = format!("{title} {}", Bytes(model.weight_bytes));
        let rates = Rates::measure(&gpu, &model, options.chunk)?;
        let n_layers = model.decoder.n_layers;
        let mut engine = Engine::new(model, options)?;
        let table = !self.json;
        let mut peak_device = gpu.memory_bytes();
        if table {
            common::print_line(&format!("{name}, loaded in {load_seconds:.2} s"))?;
            common::print_line(&rates.to_string())?;
            common::print_line(test::HEADER)?;
        }
        let mut seed = Inputs::new(1);
        let mut results = Vec::new();
        for test in &tests {
            let row = test.measure(&mut engine, &mut seed, self.repetitions.max(1), &rates)?;
            if table {
                common::print_line(&test::row(&row))?;
            }
            results.push(row);
        }
        peak_device = peak_device.max(gpu.memory_bytes());
        let (n_pipelines, compile_seconds) = gpu.compile_stats();
        let dispatches = engine.dispatches(1)?.to_vec();
        let launches = engine.launches(1)?;
        let (per_token, kernels_per_token) = (dispatches.len(), launches.len());
        let per_layer = rates::dispatches_per_layer(launches, &dispatches, n_layers);
        let (kernels, kernels_by) = match self.profile || self.html.is_some() || self.json {
            true => rates::kernels(&mut engine, &tests)?,
            false => (Vec::new(), ""),
        };
        let peak_host = meter::peak_resident_bytes();
        let mut report = json!({
            "schema": SCHEMA,
            "adapter": gpu.adapter().to_string(),
            "software": gpu.caps().software(),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "model": name,
            "weight_bytes": engine.model().weight_bytes,
            "load_seconds": load_seconds,
            "compile": { "pipelines": n_pipelines, "seconds": compile_seconds },
            "rates": rates.to_json(),
            "kernels_per_token": kernels_per_token,
            "dispatches_per_token": per_token,
            "dispatches_per_layer": per_layer,
            "tests": results,
            "kernels": kernels,
            "kernels_by": kernels_by,
            "peak_device_bytes": peak_device.map(|(_, reserved)| reserved),
            "peak_host_bytes": peak_host,
        });
        if let Some(old) = &old {
            report["compared"] = compare::compare(old, &report);
        }
        if let Some(path) = &self.trace {
            save(path, &trace::take(&mut engine)?)?;
        }
        if let Some(path) = &self.html {
            save(path, &html::page(&report))?;
        }
        gpu.save_pipeline_cache()?;
        if self.json {
            common::print_json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        let per_layer = per_layer.map(|n| format!(", {n} per layer")).unwrap_or_default();
        common::print_line(&format!(
            "{per_token} dispatches of {kernels_per_token} kernels per token{per_layer}; {n_pipelines} pipelines compiled in {compile_seconds:.2} s; \
             at most {} of device memory, {} of the host's",
            peak_device.map_or("unknown".into(), |(_, reserved)| Bytes(reserved).to_string()),
            peak_host.map_or("unknown".into(), |bytes| Bytes(bytes).to_string()),
        ))?;
        if self.profile {
            print_profile(&report);
        }
        if old.is_some() {
            common::print_line(&compare::table(&report["compared"]))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn load(&self) -> Result<(Gpu, Arc<Model>, f64)> {
        let options = self.engine.load.options_without_text();
        let Some(synthetic) = &self.synthetic else {
            let path = common::resolve(&self.model)?;
            let gpu = self.device.open()?;
            let (model, seconds) = common::load(&gpu, &path, &options)?;
            return Ok((gpu, model, seconds));
        };
        let start = Instant::now();
        let weights = synthetic::weights(synthetic, 1)?;
        let gpu = self.device.open()?;
        let bar = common::bytes_bar(weights.total_bytes());
        let model = Model::from_weights(&gpu, &weights, &options, &mut |p| bar.set_position(p.done));
        bar.finish_and_clear();
        Ok((gpu, Arc::new(model?), start.elapsed().as_secs_f64()))
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
}

/// Writes a file as a whole or not at all.
fn save(path: &Path, text: &str) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, text).map_err(|error| Error::io(&partial, error))?;
    std::fs::rename(&partial, path).map_err(|error| Error::io(path, error))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The kernels of one generated token, the costliest first.
fn print_profile(report: &Value) {
    let rows = report["kernels"].as_array().into_iter().flatten().filter(|row| row["pass"] == "decode");
    let seconds = |row: &Value| row["seconds"].as_f64().unwrap_or(0.0);
    let total: f64 = rows.clone().map(seconds).sum();
    for row in rows {
        let share = 100.0 * seconds(row) / total;
        let label = row["kernel"].as_str().unwrap_or("");
        eprintln!("{:>8.3} ms {share:>5.1} % {:>4} x {label}", 1e3 * seconds(row), row["n"].to_string());
    }
    eprintln!("{:>8.3} ms in all, {}", 1e3 * total, report["kernels_by"].as_str().unwrap_or(""));
}
