//! `aquatint bench kernels`: each kernel beside what the device was measured to reach.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::common::{self, DeviceArgs};
use crate::error::Result;
use crate::gpu::{Gpu, Size, Sizes};
use crate::graph::{Dtype, Graph, Inputs, PackedWeight, Rows, Scratch, Tensor};
use crate::kernels::measure::{ONE, best_arithmetic, copy_bandwidth, empty_dispatch, seconds_of};
use crate::kernels::{self, Attention, Batch, Bias, Epilogue, Kv, PAGE, Pattern};
use crate::tensor::{Format, format};

/// Seconds that one measurement takes at least.
const SECONDS_MIN: f64 = 0.15;

/// Positions of the sequences that attention is measured on.
const CONTEXT: usize = 4096;

/// A measured kernel.
struct Row {
    name: String,
    seconds: f64,
    bytes: f64,
    operations: f64,
}

/// Measures the kernels that make up a model's time, and prints each with its share of the best of the
/// device: its copy bandwidth, and its multiply-adds.
pub fn run(device: &DeviceArgs, filter: &str, is_json: bool) -> Result<ExitCode> {
    let gpu = device.open()?;
    let bandwidth = copy_bandwidth(&gpu)?;
    let arithmetic = best_arithmetic(&gpu, SECONDS_MIN)?;
    if !is_json {
        if gpu.caps().software() {
            eprintln!("times are CPU seconds, all threads together; rates are per core");
        }
        common::print_line(&format!(
            "copy {:.1} GB/s read and written, arithmetic {:.1} GFLOP/s, empty dispatch {:.1} us",
            bandwidth / 1e9,
            arithmetic / 1e9,
            1e6 * empty_dispatch(&gpu, SECONDS_MIN)?,
        ))?;
        common::print_line(&format!(
            "{:<44} {:>10} {:>9} {:>6} {:>10} {:>6}",
            "kernel", "us", "GB/s", "share", "GFLOP/s", "share"
        ))?;
    }
    let mut rows = Vec::new();
    for case in cases(&gpu).into_iter().filter(|case| case.name.contains(filter)) {
        let row = case.measure(&gpu)?;
        if !is_json {
            common::print_line(&format!(
                "{:<44} {:>10.1} {:>9.2} {:>5.1}% {:>10.2} {:>5.1}%",
                row.name,
                1e6 * row.seconds,
                row.bytes / row.seconds / 1e9,
                100.0 * row.bytes / row.seconds / bandwidth,
                row.operations / row.seconds / 1e9,
                100.0 * row.operations / row.seconds / arithmetic,
            ))?;
        }
        rows.push(row);
    }
    if is_json {
        let kernels: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "kernel": row.name,
                    "seconds": row.seconds,
                    "bytes_per_second": row.bytes / row.seconds,
                    "operations_per_second": row.operations / row.seconds,
                })
            })
            .collect();
        common::print_json(&json!({
            "adapter": gpu.adapter().to_string(),
            "copy_bytes_per_second": bandwidth,
            "operations_per_second": arithmetic,
            "kernels": kernels,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Records what is measured.
type Record = Box<dyn Fn(&mut Graph, &mut Inputs) -> Result<()>>;

struct Bench {
    name: String,
    record: Record,
    sizes: Sizes,
    bytes: f64,
    operations: f64,
}

impl Bench {
    fn measure(&self, gpu: &Gpu) -> Result<Row> {
        let mut graph = Graph::new(gpu.caps());
        (self.record)(&mut graph, &mut Inputs::new(1))?;
        let program = graph.build(gpu, &mut Scratch::default())?;
        let seconds = seconds_of(gpu, &program, self.sizes, SECONDS_MIN)?;
        Ok(Row { name: self.name.clone(), seconds, bytes: self.bytes, operations: self.operations })
    }
}

fn cases(gpu: &Gpu) -> Vec<Bench> {
    let mut cases = Vec::new();
    // (rows, columns) of a small model's products, and of a large one's.
    let small = [(960, 576), (576, 576), (3072, 576), (576, 1536), (49152, 576)];
    let large = [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336)];
    let shapes = if gpu.caps().software() { &small[..] } else { &large[..] };
    for name in ["F16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"] {
        for &(n_rows, n_columns) in shapes {
            for n_tokens in [1, 8, 128] {
                if n_rows > 40_000 && n_tokens > 8 || n_rows > 40_000 && name != "Q8_0" {
                    continue;
                }
                if n_tokens > 1 && name != "Q4_1" && name != "Q4_K" && name != "F16" {
                    continue;
                }
                cases.push(product(name, n_rows, n_columns, n_tokens, Dtype::F16));
                if gpu.caps().byte_blocks() && (name == "Q4_1" || name == "Q8_0") {
                    cases.push(product(name, n_rows, n_columns, n_tokens, Dtype::Q8Sums));
                }
            }
        }
    }
    cases.push(product_residual("Q4_1", 576, 1536));
    cases.push(product_residual("Q4_1", 576, 576));
    for (name, window, pattern) in [
        ("dense", None, Pattern::Dense),
        ("window 256", Some(256), Pattern::Dense),
        ("strided 64", None, Pattern::Strided { stride: 64 }),
        ("fixed 64, 8", None, Pattern::Fixed { stride: 64, summary: 8 }),
    ] {
        cases.push(attention(name, window, pattern));
    }
    cases
}

fn product(
    name: &'static str,
    n_rows: usize,
    n_columns: usize,
    n_tokens: usize,
    activations: Dtype,
) -> Bench {
    let format = format::by_name(name).expect("a known format");
    let blocks = n_columns.div_ceil(format.block_len);
    Bench {
        name: match activations {
            Dtype::Q8Sums => format!("matvec {name} {n_rows}x{n_columns} x {n_tokens} bytes"),
            _ => format!("matvec {name} {n_rows}x{n_columns} x {n_tokens}"),
        },
        bytes: (n_rows * blocks * format.block_bytes) as f64,
        operations: 2.0 * (n_rows * n_columns * n_tokens) as f64,
        sizes: ONE,
        record: Box::new(move |g, inputs| {
            let (x, weight) = operands(g, inputs, format, [n_rows, n_columns, n_tokens], activations)?;
            kernels::linear(g, x, &weight, None, Epilogue::Store).map(|_| ())
        }),
    }
}

/// Activations and a weight in the memory that this device reads fastest.
fn operands(
    g: &mut Graph,
    inputs: &mut Inputs,
    format: &'static Format,
    [n_rows, n_columns, n_tokens]: [usize; 3],
    activations: Dtype,
) -> Result<(Tensor, PackedWeight)> {
    let weight = inputs.weight(format, n_rows, n_columns, 1 << 20)?;
    let x = inputs.activations(g, n_tokens, n_columns, activations);
    Ok((x, if g.caps().images { weight.in_images() } else { weight }))
}

/// Causal attention of all tokens of one text: 4 heads of 64 that share their keys by two. The operations
/// are those of the positions that are seen.
fn attention(name: &str, window: Option<u32>, pattern: Pattern) -> Bench {
    let (n_heads, n_kv_heads, head_dim) = (4, 2, 64);
    let n_seen: usize = (0..CONTEXT)
        .map(|own| {
            let first = (own + 1).saturating_sub(window.map_or(usize::MAX, |w| w as usize));
            (first..=own).filter(|&at| pattern.sees(own, at)).count()
        })
        .sum();
    Bench {
        name: format!("attention {name}, {CONTEXT} tokens"),
        bytes: (CONTEXT * 2 * n_kv_heads * head_dim * 2) as f64,
        operations: (4 * n_seen * n_heads * head_dim) as f64,
        sizes: Sizes { n_tokens: CONTEXT as u32, n_outputs: 1, n_context: CONTEXT as u32 },
        record: Box::new(move |g, inputs| {
            let rows = Rows::up_to(CONTEXT, Size::Tokens);
            let q = inputs.tensor(g, rows, n_heads * head_dim, Dtype::F32);
            let positions = inputs.words(g, (0..CONTEXT as u32).collect());
            let batch = Batch {
                rows,
                ids: positions,
                positions,
                slots: inputs.words(g, vec![0; CONTEXT]),
                pages: inputs.words(g, (0..(CONTEXT / PAGE) as u32).collect()),
                last_token: inputs.words(g, vec![0]),
                limits: positions,
                outputs: inputs.words(g, vec![0]),
                max_pages: CONTEXT / PAGE,
            };
            let k = inputs.pool(g, n_kv_heads * CONTEXT, head_dim, Dtype::F16);
            let v = inputs.pool(g, n_kv_heads * CONTEXT, head_dim, Dtype::F16);
            let kv = Kv { k, v, dtype: Dtype::F16, n_kv_heads, head_dim };
            let attention = Attention {
                n_heads,
                n_kv_heads,
                head_dim,
                window,
                after: 0,
                soft_cap: None,
                bias: Bias::None,
                pattern,
                max_context: CONTEXT,
            };
            kernels::attention(g, q, &batch, &kv, &attention, Dtype::F16).map(|_| ())
        }),
    }
}

fn product_residual(name: &'static str, n_rows: usize, n_columns: usize) -> Bench {
    let plain = product(name, n_rows, n_columns, 1, Dtype::F16);
    let format = format::by_name(name).expect("a known format");
    Bench {
        name: format!("matvec {name} {n_rows}x{n_columns} x 1 residual"),
        record: Box::new(move |g, inputs| {
            let y = inputs.tensor(g, 1, n_rows, Dtype::F32);
            let (x, weight) = operands(g, inputs, format, [n_rows, n_columns, 1], Dtype::F16)?;
            kernels::linear(g, x, &weight, None, Epilogue::Residual { y }).map(|_| ())
        }),
        ..plain
    }
}
