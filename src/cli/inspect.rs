//! `aquatint inspect`: what is in a model file, and what it needs to run.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use super::meter;
use crate::engine::{Engine, EngineOptions, kv_bytes};
use crate::error::{Bytes, Error, Result};
use crate::gpu::Gpu;
use crate::model::{Decoder, Head, describe};
use crate::weights::Weights;

/// Shows a model's description, formats and memory, from the header alone.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint inspect smollm2-135m
  aquatint inspect ./model.gguf --context 32768
  aquatint inspect smollm2-135m --plan

JSON: {path, licence, source, page, architecture, decoder: {...}, formats: {NAME: {tensors, bytes}},
       memory: {weights, kv, available}, plan: [dispatch, ...] with --plan}")]
pub struct Inspect {
    /// Model by name or path.
    model: String,
    /// Also records the pass of one token and lists its dispatches. Needs a GPU.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(&self) -> Result<ExitCode> {
        let path = common::resolve(&self.model)?;
        let weights = Weights::open(&path)?;
        let (title, decoder) = describe(&weights)?;
        let options = self.engine.options(decoder.n_context)?;
        let mut formats: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for tensor in weights.tensors() {
            let entry = formats.entry(tensor.format.name).or_default();
            entry.0 += 1;
            entry.1 += tensor.bytes.len() as u64;
        }
        let origin = crate::store::origin(&path, &weights);
        let forecast = Forecast::of(&weights, &decoder, &options);
        let plan = if self.plan { self.dispatches()? } else { Vec::new() };
        if self.json {
            let formats: BTreeMap<&str, Value> = formats
                .into_iter()
                .map(|(name, (n, bytes))| (name, json!({ "tensors": n, "bytes": bytes })))
                .collect();
            common::print_json(&json!({
                "path": path,
                "licence": origin.licence,
                "source": origin.source,
                "page": origin.page,
                "architecture": title,
                "decoder": decoder_json(&decoder),
                "formats": formats,
                "memory": { "weights": forecast.weights, "kv": forecast.kv, "available": meter::available_bytes() },
                "plan": plan,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = format!("{}\n{origin}\n{title}\n", path.display());
        if let Value::Object(fields) = decoder_json(&decoder) {
            for (name, value) in fields {
                text += &format!("  {name:<22} {}\n", value.to_string().trim_matches('"'));
            }
        }
        text += "weights\n";
        for (name, (n, bytes)) in formats {
            text += &format!("  {name:<8} {n:>5} tensors {:>10}\n", Bytes(bytes).to_string());
        }
        text += &format!(
            "memory on the device\n  weights  {:>10}\n  KV cache {:>10}  ({} tokens, {:?})\n",
            Bytes(forecast.weights).to_string(),
            Bytes(forecast.kv).to_string(),
            options.context,
            options.kv,
        );
        for line in plan {
            text += &format!("{line}\n");
        }
        common::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn dispatches(&self) -> Result<Vec<String>> {
        let path = common::resolve(&self.model)?;
        let gpu = self.device.open()?;
        let (model, _) = common::load(&gpu, &path, &self.engine.load.options_without_text())?;
        let options = self.engine.options(model.decoder.n_context)?;
        let mut engine = Engine::new(model, options)?;
        let program = engine.program(1, Head::Sample { greedy: true })?;
        let dispatch = |i| program.dispatches().iter().position(|range| range.contains(&i)).unwrap_or(0);
        let lines = program.launches().iter().enumerate().map(|(i, launch)| {
            let weight =
                launch.weight.as_ref().map(|w| format!("  {} ({}, {} blocks)", w.name, w.n_rows, w.n_blocks));
            format!("{:>4}  {}{}", dispatch(i), launch.label, weight.unwrap_or_default())
        });
        let waits = program.waits();
        let last = format!(
            "{} kernels in {} dispatches; {} kernels wait for earlier ones ({} if every tensor had a buffer of its own)",
            program.launches().len(),
            program.dispatches().len(),
            waits.by_buffers,
            waits.by_tensors,
        );
        Ok(lines.chain([last]).collect())
    }
}

/// What a model will need, by its header.
pub struct Forecast {
    pub weights: u64,
    pub kv: u64,
}

impl Forecast {
    pub fn of(weights: &Weights, decoder: &Decoder, options: &EngineOptions) -> Forecast {
        Forecast { weights: weights.total_bytes(), kv: kv_bytes(decoder, options) }
    }
}

/// Fails before anything is allocated where the memory clearly is not there.
///
/// Only a software device tells how much there is: the machine's own memory.
pub fn check_fits(gpu: &Gpu, weights: &Weights, decoder: &Decoder, options: &EngineOptions) -> Result<()> {
    let forecast = Forecast::of(weights, decoder, options);
    let need = forecast.weights + forecast.kv;
    let Some(have) = meter::available_bytes().filter(|_| gpu.caps().software()) else { return Ok(()) };
    if need <= have {
        return Ok(());
    }
    let half = EngineOptions { context: options.context / 2, ..options.clone() };
    let saved = forecast.kv - kv_bytes(decoder, &half);
    Err(Error::OutOfMemory {
        need,
        have: Some(have),
        advice: format!("try --context {} (saves {}), or a smaller model", half.context, Bytes(saved)),
    })
}

fn decoder_json(d: &Decoder) -> Value {
    let windows: Vec<u32> = d.windows.iter().flatten().copied().collect();
    json!({
        "layers": d.n_layers,
        "width": d.n_embd,
        "heads": d.n_heads,
        "key_value_heads": d.n_kv_heads,
        "head_dim": d.head_dim,
        "feed_forward": d.n_ff,
        "vocabulary": d.n_vocab,
        "context": d.n_context,
        "norm": format!("{:?}", d.norm),
        "rope_base": d.rope.as_ref().map(|rope| rope.base),
        "rope_scaling": d.rope.as_ref().map(|rope| format!("{:?}", rope.scaling)),
        "layers_with_window": windows.len(),
        "window": windows.first(),
        "activation": format!("{:?}", d.feed_forward),
        "tied_embeddings": d.tied,
    })
}
