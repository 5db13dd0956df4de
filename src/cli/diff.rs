//! `aquatint diff`: each dispatch of a forward pass beside its CPU twin.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::common::{self, DeviceArgs, EngineArgs};
use crate::error::Result;

/// Runs a forward pass dispatch by dispatch, each beside its CPU twin on the same inputs, and names
/// the first that differs. Exit code 1 if one does.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint diff smollm2-135m \"The capital of France is\"

JSON: {dispatches, different, first: text or null, worst: {label, error_over_tolerance}}")]
pub struct Diff {
    /// Model by name or path.
    model: String,
    /// The text to run.
    #[arg(default_value = "The capital of France is")]
    text: String,
    /// Goes on after the first difference.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub fn run(&self) -> Result<ExitCode> {
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let ids = common::encode(&tokenizer, &self.text, false)?;
        let (mut n, mut n_different) = (0, 0);
        let mut first = None;
        let mut worst = (String::new(), 0.0f64);
        engine.check(&ids, |difference| {
            n += 1;
            let error = difference.compared.worst;
            if error > worst.1 {
                worst = (difference.label.clone(), error);
            }
            if difference.compared.ok() {
                return true;
            }
            n_different += 1;
            eprintln!("{difference}");
            first.get_or_insert_with(|| difference.to_string());
            self.all
        })?;
        if self.json {
            common::print_json(&json!({
                "dispatches": n,
                "different": n_different,
                "first": first,
                "worst": { "label": worst.0, "error_over_tolerance": worst.1 },
            }))?;
        } else {
            common::print_line(&format!(
                "{n} dispatches compared, {n_different} differ; largest error {:.2} of the tolerance ({})",
                worst.1, worst.0
            ))?;
        }
        Ok(if n_different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
