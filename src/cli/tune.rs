//! `aquatint tune`: the fastest shape of each matrix product on this device.

use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use crate::engine::{Engine, EngineOptions};
use crate::error::Result;
use crate::gpu::Tuning;
use crate::kernels;
use crate::model::products;

/// Rounds of whole passes by the tables and by the choices.
const N_ROUNDS: usize = 5;

/// Whole passes must be this much faster for choices to be kept.
const PASS_GAIN_MIN: f64 = 1.005;

/// Measures the ways to compute a model's matrix products on this device and keeps the fastest for later runs.
/// Each is checked against its CPU twin before
/// it counts, and kept only where whole passes are faster with it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint tune
  aquatint tune -b 8
  aquatint tune gemma3-270m --adapter 1
  aquatint tune --forget

The choices are kept for this adapter, its driver and this version's shaders, in the cache folder.

JSON: {adapter, file, choices: [{product, variant, table, seconds, table_seconds, speedup,
                                 refused: [{variant, why}]}],
       passes: [{tokens, choices, speedup, kept}], kept}")]
pub struct Tune {
    /// Model by name or path, whose shapes are measured.
    #[arg(default_value = crate::store::DEFAULT)]
    model: String,
    /// Sequences that will generate together: passes of as many tokens are measured, too.
    #[arg(short = 'b', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    n_batch: u32,
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
        let (engine, _) = common::engine_for(&self.model, &self.device, &self.engine, self.n_batch as usize)?;
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
            if found.choice.variant != found.table_variant {
                tuning.choices.insert(found.key, found.choice);
            } else {
                tuning.choices.remove(&found.key);
            }
        }
        bar.finish_and_clear();
        let passes = self.keep_what_helps(&engine, &mut tuning)?;
        if let Some(path) = gpu.tuning_path() {
            tuning.write(&path)?;
        }
        gpu.save_pipeline_cache()?;
        let file = gpu.tuning_path();
        if self.json {
            common::print_json(&json!({
                "adapter": gpu.adapter().to_string(), "file": file, "choices": rows, "passes": passes,
                "kept": tuning.choices.len(),
            }))?;
        } else if let Some(file) = file {
            eprintln!("{} choices kept in {}", tuning.choices.len(), file.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Runs whole passes by the tables and by the choices in turn, and forgets the choices for numbers of
    /// tokens where these are not faster: what wins alone may not win among others.
    fn keep_what_helps(&self, engine: &Engine, tuning: &mut Tuning) -> Result<Vec<Value>> {
        let gpu = engine.gpu();
        let model = engine.model();
        let options = EngineOptions { context: 2 * engine.options().chunk, ..engine.options().clone() };
        let mut plain = tuning.clone();
        plain.choices.clear();
        let mut rows = Vec::new();
        let mut engines = Vec::new();
        for tuning in [&plain, &*tuning] {
            gpu.set_tuning(tuning.clone());
            let mut engine = Engine::new(model.clone(), options.clone())?;
            for n_tokens in engine.buckets() {
                engine.launches(n_tokens)?;
            }
            engines.push(engine);
        }
        for n_tokens in engine.buckets() {
            let of_bucket = format!(" x {n_tokens} ");
            let n_choices = tuning.choices.keys().filter(|key| key.contains(&of_bucket)).count();
            if n_choices == 0 {
                continue;
            }
            let mut ratios = Vec::new();
            for _ in 0..N_ROUNDS {
                let seconds = engines.iter_mut().map(|engine| engine.pass_seconds(n_tokens, 0));
                let seconds = seconds.collect::<Result<Vec<f64>>>()?;
                ratios.push(seconds[0] / seconds[1]);
            }
            ratios.sort_by(f64::total_cmp);
            let ratio = ratios[N_ROUNDS / 2];
            let kept = ratio >= PASS_GAIN_MIN;
            if !kept {
                tuning.choices.retain(|key, _| !key.contains(&of_bucket));
            }
            if !self.json {
                common::print_line(&format!(
                    "a pass over {n_tokens} tokens with {n_choices} choices: {ratio:.3}x as fast, {}",
                    if kept { "kept" } else { "not kept" }
                ))?;
            }
            rows.push(json!({ "tokens": n_tokens, "choices": n_choices, "speedup": ratio, "kept": kept }));
        }
        Ok(rows)
    }
}

/// Each product with each number of tokens that passes have.
fn jobs(engine: &Engine) -> Vec<(kernels::Product, usize)> {
    let mut jobs = Vec::new();
    for n_tokens in engine.buckets() {
        for product in products(engine.model()) {
            // Outputs are one per sequence.
            if !product.is_head || n_tokens <= engine.options().n_slots {
                jobs.push((product, n_tokens));
            }
        }
    }
    jobs
}
