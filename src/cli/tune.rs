//! `aquatint tune`: the fastest shape of each matrix product on this device.

use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use crate::engine::Engine;
use crate::error::Result;
use crate::kernels;
use crate::model::products;

/// Measures the ways to compute a model's matrix products on this device and keeps the fastest for later runs.
/// Each is checked against its CPU twin before it counts.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint tune
  aquatint tune gemma3-270m --adapter 1
  aquatint tune --forget

The choices are kept for this adapter, its driver and this version's shaders, in the cache folder.

JSON: {adapter, file, choices: [{product, variant, table, seconds, table_seconds, speedup,
                                 refused: [{variant, why}]}]}")]
pub struct Tune {
    /// Model by name or path, whose shapes are measured.
    #[arg(default_value = crate::store::DEFAULT)]
    model: String,
    /// Forgets what was measured on this device, and measures nothing.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Tune {
    pub fn run(&self) -> Result<ExitCode> {
        if self.forget {
            let gpu = self.device.open()?;
            kernels::load_tuning(&gpu);
            let mut tuning = (*gpu.tuning()).clone();
            let n = tuning.choices.len();
            tuning.choices.clear();
            if let Some(path) = gpu.tuning_path().filter(|path| path.exists()) {
                tuning.write(&path)?;
            }
            eprintln!("forgot {n} choices");
            return Ok(ExitCode::SUCCESS);
        }
        let (engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let gpu = engine.gpu().clone();
        let jobs = jobs(&engine);
        let bar = ProgressBar::with_draw_target(Some(jobs.len() as u64), ProgressDrawTarget::stderr());
        let mut tuning = (*gpu.tuning()).clone();
        let mut rows = Vec::new();
        if !self.json {
            common::print_line(&format!(
                "{:<44} {:>9} {:>9} {:>7}  {}",
                "product", "table us", "best us", "ratio", "taken"
            ))?;
        }
        for (product, n_tokens) in &jobs {
            let found = kernels::tune(&gpu, product, *n_tokens, engine.options().activations)?;
            bar.inc(1);
            let Some(found) = found else { continue };
            let speedup = found.choice.table_seconds / found.choice.seconds;
            if !self.json {
                let line = format!(
                    "{:<44} {:>9.1} {:>9.1} {speedup:>6.2}x  {}",
                    found.key,
                    1e6 * found.choice.table_seconds,
                    1e6 * found.choice.seconds,
                    found.choice.variant,
                );
                bar.suspend(|| common::print_line(&line))?;
            }
            for (variant, why) in &found.refused {
                bar.suspend(|| eprintln!("left out {variant}: {why}"));
            }
            let refused: Vec<Value> = found
                .refused
                .iter()
                .map(|(variant, why)| json!({ "variant": variant, "why": why }))
                .collect();
            rows.push(json!({
                "product": found.key, "variant": found.choice.variant, "table": found.table_variant,
                "seconds": found.choice.seconds, "table_seconds": found.choice.table_seconds,
                "speedup": speedup, "refused": refused,
            }));
            tuning.choices.insert(found.key, found.choice);
            // Kept at once, so that an interrupted run has what it measured.
            if let Some(path) = gpu.tuning_path() {
                tuning.write(&path)?;
            }
        }
        bar.finish_and_clear();
        gpu.save_pipeline_cache()?;
        let file = gpu.tuning_path();
        if self.json {
            common::print_json(&json!({
                "adapter": gpu.adapter().to_string(), "file": file, "choices": rows,
            }))?;
        } else if let Some(file) = file {
            eprintln!("kept in {}", file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Each product with each number of tokens that passes have.
fn jobs(engine: &Engine) -> Vec<(kernels::Product, usize)> {
    let mut jobs = Vec::new();
    for n_tokens in engine.buckets() {
        for product in products(engine.model()) {
            // Outputs are one per sequence.
            if !product.is_head || n_tokens == 1 {
                jobs.push((product, n_tokens));
            }
        }
    }
    jobs
}
