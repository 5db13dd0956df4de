//! What the device reaches, and what a pass has to do: the two sides of every share.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Value, json};

use super::test::Test;
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::{Gpu, Sizes};
use crate::graph::{Dtype, Launch};
use crate::kernels::measure;
use crate::model::{Decoder, FeedForward, Ffn, Model};
use crate::tensor::{Format, format};

/// Seconds that measuring a rate takes at least.
const SECONDS: f64 = 0.1;

/// The best rates of a device, measured beside the model.
pub struct Rates {
    /// Bytes per second that copies read and write.
    pub copy: f64,
    /// Operations per second of the best matrix product.
    pub product: f64,
    product_name: String,
    /// Operations per second of multiply-adds alone.
    arithmetic: f64,
    software: bool,
}

impl Rates {
    /// The products are in F16 and in the format that most of the model's matrices have.
    pub fn measure(gpu: &Gpu, model: &Model, chunk: usize) -> Result<Rates> {
        let software = gpu.caps().software();
        let n_tokens = if software { chunk } else { chunk.max(512) };
        let own = main_format(model);
        let half = format::by_name("F16")?;
        let mut best = (0.0, String::new());
        for format in [own, half].into_iter().take(if own == half { 1 } else { 2 }) {
            let (rate, n) = measure::product_rate(gpu, format, n_tokens, SECONDS)?;
            if rate > best.0 {
                best = (rate, format!("{} {n}x{n} x {n_tokens}", format.name));
            }
        }
        Ok(Rates {
            copy: measure::copy_bandwidth(gpu)?,
            product: best.0,
            product_name: best.1,
            arithmetic: measure::best_arithmetic(gpu, SECONDS)?,
            software,
        })
    }

    pub fn to_json(&self) -> Value {
        json!({
            "copy_bytes_per_second": self.copy,
            "product": self.product_name,
            "product_operations_per_second": self.product,
            "operations_per_second": self.arithmetic,
            "per": if self.software { "second of CPU time" } else { "second" },
        })
    }
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = if self.software { ", each per CPU second" } else { "" };
        write!(
            f,
            "the device alone: copy {:.1} GB/s, best product {:.1} GFLOP/s ({}), multiply-adds {:.1} GFLOP/s{per}",
            self.copy / 1e9,
            self.product / 1e9,
            self.product_name,
            self.arithmetic / 1e9,
        )
    }
}

/// The format of the first layer's feed-forward matrices, which are most of a model.
fn main_format(model: &Model) -> &'static Format {
    match model.tensors.groups.first().map(|layer| &layer.ffn) {
        Some(
            Ffn::Gated { gate_up: linear, .. }
            | Ffn::GatedApart { up: linear, .. }
            | Ffn::Plain { up: linear, .. },
        ) => linear.weight.format,
        Some(Ffn::Experts { up, .. }) => up.format,
        None => model.tensors.embedding.format,
    }
}

/// The bytes of weights that a launch reads and the operations it does.
pub fn of_launch(launch: &Launch, d: &Decoder, sizes: &Sizes) -> (f64, f64) {
    let rows = |i: usize| {
        let rows = launch.args.get(i).map(|arg| arg.tensor.rows);
        rows.map_or(1, |rows| rows.size.map_or(rows.n_max, |size| sizes.get(size) as usize)) as f64
    };
    let n_tokens = rows(launch.args.len().saturating_sub(1));
    let Some(weight) = &launch.weight else { return (0.0, 0.0) };
    let groups = weight.n_rows as f64 / 4.0;
    let words: usize = weight.format.planes.iter().map(|plane| plane.group_words(weight.n_blocks)).sum();
    let bytes = groups * 4.0 * words as f64;
    let operations = 2.0 * weight.n_rows as f64 * weight.n_blocks as f64 * 32.0;
    match (launch.kernel.name, d.feed_forward) {
        // A row for each token.
        ("embed", _) => (bytes * n_tokens / weight.n_rows as f64, 0.0),
        // Each token has some of the experts.
        ("expert_up" | "expert_down", FeedForward::Experts(e)) => {
            let (n_used, n_experts) = (e.n_used as f64, e.n_experts as f64);
            let read = (n_used * f64::from(sizes.n_tokens) / n_experts).min(1.0);
            (bytes * read, operations * f64::from(sizes.n_tokens) * n_used / n_experts)
        }
        _ => (bytes, operations * n_tokens),
    }
}

/// The bytes that a test's passes read, weights once a pass and the keys and values that are seen, and
/// their operations.
pub fn work(engine: &mut Engine, test: &Test) -> Result<(f64, f64)> {
    let d = engine.model().decoder.clone();
    let options = engine.options().clone();
    let n_steps = test.n_gen.max(1);
    let n_tokens = if test.n_gen == 0 { test.n_prompt } else { test.n_batch };
    let sizes = Sizes {
        n_tokens: n_tokens as u32,
        n_outputs: test.n_batch as u32,
        n_context: (test.n_depth + 1) as u32,
    };
    let launches = engine.launches(n_tokens.min(options.chunk))?;
    let (mut bytes, mut operations) = (0.0, 0.0);
    for launch in launches {
        let (b, o) = of_launch(launch, &d, &sizes);
        bytes += b;
        operations += o;
    }
    if test.n_gen == 0 {
        bytes *= n_tokens.div_ceil(options.chunk) as f64;
    }
    // Positions seen in one layer by all queries, and those read.
    let element = match options.kv {
        Dtype::F32 => 4.0,
        Dtype::Q8 => 36.0 / 32.0,
        _ => 2.0,
    };
    let (mut seen, mut read) = (0.0, 0.0);
    for window in &d.windows {
        let limit = window.map_or(f64::INFINITY, f64::from);
        let mean = (test.n_depth as f64 + 1.0 + (n_steps.max(test.n_prompt) as f64 - 1.0) / 2.0).min(limit);
        seen += mean * n_tokens as f64;
        read += mean * if test.n_gen == 0 { 1.0 } else { n_tokens as f64 };
    }
    operations += 4.0 * seen * (d.n_heads * d.head_dim) as f64;
    bytes += 2.0 * read * (d.n_kv_heads * d.head_dim) as f64 * element;
    Ok((bytes * n_steps as f64, operations * n_steps as f64))
}

/// The dispatches from one layer to the next; `None` where there is no second layer.
pub fn dispatches_per_layer(
    launches: &[Launch],
    dispatches: &[Range<usize>],
    n_layers: usize,
) -> Option<usize> {
    let first = |layer: usize| {
        let name = format!("blk.{layer}.");
        let of_layer = |l: &Launch| l.weight.as_ref().is_some_and(|w| w.name.contains(&name));
        let launch = launches.iter().position(of_layer)?;
        dispatches.iter().position(|range| range.contains(&launch))
    };
    if n_layers < 2 { None } else { Some(first(1)? - first(0)?) }
}

/// Each kind of kernel of one generated token and of a prompt's pass, the costliest first, and how
/// they were timed.
pub fn kernels(engine: &mut Engine, tests: &[Test]) -> Result<(Vec<Value>, &'static str)> {
    let d = engine.model().decoder.clone();
    let depth = tests.iter().map(|test| test.n_depth).max().unwrap_or(0);
    let prompt = tests.iter().map(|test| test.n_prompt).max().unwrap_or(0).min(engine.options().chunk);
    let mut all = Vec::new();
    let mut by = "";
    for (pass, n_tokens) in [("decode", 1), ("prompt", prompt)] {
        if n_tokens == 0 {
            continue;
        }
        let profile = engine.profile(n_tokens, depth)?;
        by = match profile.by_timestamps {
            true => "by timestamps",
            false if engine.gpu().caps().software() => "all of a kind together, in CPU time",
            false => "all of a kind together, by the clock",
        };
        let n_context = (depth + n_tokens) as u32;
        let sizes = Sizes { n_tokens: n_tokens as u32, n_outputs: 1, n_context };
        let mut rows: Vec<(String, usize, f64, f64, f64)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (step, launch) in profile.steps.iter().zip(engine.launches(n_tokens)?) {
            let at = *places.entry(step.label.clone()).or_insert_with(|| {
                rows.push((step.label.clone(), 0, 0.0, 0.0, 0.0));
                rows.len() - 1
            });
            let (bytes, operations) = of_launch(launch, &d, &sizes);
            let row = &mut rows[at];
            row.1 += 1;
            row.2 += step.seconds;
            row.3 += bytes;
            row.4 += operations;
        }
        rows.sort_by(|a, b| b.2.total_cmp(&a.2));
        all.extend(rows.into_iter().map(|(kernel, n, seconds, bytes, operations)| {
            json!({ "pass": pass, "kernel": kernel, "n": n, "seconds": seconds, "bytes": bytes, "operations": operations })
        }));
    }
    Ok((all, by))
}
