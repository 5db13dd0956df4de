//! Chooses the shapes of matrix products by measuring them on a device.
//!
//! A candidate is taken only if it agrees with its CPU twin, gives the very bits that the table's shape
//! gives (so that results depend neither on the choice nor on the batch), and is clearly faster.

use super::matvec::{self, Shape};
use super::measure::{ONE, seconds_of};
use super::{ALL, Activation, Epilogue};
use crate::error::Result;
use crate::gpu::{Choice, Gpu, Tuning, fnv};
use crate::graph::{Dtype, Graph, Inputs, PackedWeight, Program, Scratch, Tensor, library};
use crate::tensor::Format;

/// A candidate must be this much faster than the table's shape.
const GAIN_MIN: f64 = 1.03;

/// Seconds of one measurement.
const SECONDS: f64 = 0.04;

/// What a product does with its result, without the tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProductKind {
    Store,
    Residual,
    Activate(Activation),
    Gated(Activation),
}

/// A matrix product of a model: the weights that have its shape, of a few layers.
pub struct Product {
    pub kind: ProductKind,
    pub weights: Vec<PackedWeight>,
    /// Whether only rows that are asked for pass through it.
    pub is_head: bool,
}

/// What was found for one product and number of tokens.
#[derive(Debug, Clone)]
pub struct Tuned {
    pub key: String,
    pub choice: Choice,
    pub table_variant: String,
    /// Candidates that were left out, and why.
    pub refused: Vec<(String, String)>,
}

/// A hash of every shader text, which a tuning belongs to.
pub fn shaders_hash() -> u64 {
    let mut texts: Vec<&str> = library().iter().map(|file| file.text).collect();
    for kernel in ALL {
        texts.push(kernel.wgsl.text);
        texts.extend(kernel.roles.iter().flat_map(|role| (role.files)()).map(|(_, file)| file.text));
    }
    fnv(texts.into_iter().flat_map(str::bytes))
}

/// Reads what was learnt of this device before, once.
pub fn load_tuning(gpu: &Gpu) {
    if gpu.has_tuning() {
        return;
    }
    let shaders = shaders_hash();
    gpu.set_tuning(match gpu.tuning_path() {
        Some(path) => Tuning::read(&path, gpu.adapter(), shaders),
        None => Tuning::new(gpu.adapter(), shaders),
    });
}

/// Measures the candidates of one product with `n_tokens` tokens. `None` where there is but one shape.
pub fn tune(gpu: &Gpu, product: &Product, n_tokens: usize, dtype: Dtype) -> Result<Option<Tuned>> {
    let weight = &product.weights[0];
    let format = weight.format;
    let shapes = matvec::candidates(gpu.caps(), n_tokens);
    let key = matvec::key(weight, product.kind.role(), dtype, n_tokens);
    if shapes.len() < 2 {
        return Ok(None);
    }
    let mut refused = Vec::new();
    let mut runs: Vec<(Shape, Program)> = Vec::new();
    let mut expected: Option<Vec<u64>> = None;
    for shape in shapes {
        let refuse = |refused: &mut Vec<_>, why: String| refused.push((shape.variant(format), why));
        if gpu.tuning().has_failed(&shape.variant(format)) {
            refuse(&mut refused, "failed before".into());
            continue;
        }
        if let Some(why) = check_shape(gpu, format, weight.n_columns, product.kind, dtype, shape)? {
            refuse(&mut refused, why);
            continue;
        }
        let (program, y) = build(gpu, product, n_tokens, dtype, shape)?;
        gpu.run(&program.plan, &ONE)?;
        let bits: Vec<u64> = program.read(gpu, y)?.into_iter().map(f64::to_bits).collect();
        match &expected {
            Some(expected) if *expected != bits => {
                refuse(&mut refused, "sums in another order than the table's shape".into());
                continue;
            }
            _ => expected = Some(bits),
        }
        runs.push((shape, program));
    }
    // One after another and again, so that a slow moment of the machine meets all of them.
    let mut seconds = vec![Vec::new(); runs.len()];
    for _ in 0..3 {
        for ((_, program), seconds) in runs.iter().zip(&mut seconds) {
            seconds.push(seconds_of(gpu, program, ONE, SECONDS)? / product.weights.len() as f64);
        }
    }
    let best_of = |times: &Vec<f64>| times.iter().copied().fold(f64::INFINITY, f64::min);
    let times: Vec<f64> = seconds.iter().map(best_of).collect();
    let Some(&table_seconds) = times.first() else { return Ok(None) };
    let best = (0..times.len()).min_by(|&a, &b| times[a].total_cmp(&times[b])).unwrap_or(0);
    let best = if times[best] * GAIN_MIN < table_seconds { best } else { 0 };
    let choice = Choice { variant: runs[best].0.variant(format), seconds: times[best], table_seconds };
    let table_variant = runs[0].0.variant(format);
    Ok(Some(Tuned { key, choice, table_variant, refused }))
}

/// What is wrong with a shape on this device, by its twin, on a small product; `None` if nothing is.
fn check_shape(
    gpu: &Gpu,
    format: &'static Format,
    n_columns: usize,
    kind: ProductKind,
    dtype: Dtype,
    shape: Shape,
) -> Result<Option<String>> {
    let mut g = Graph::on(gpu);
    let mut inputs = Inputs::new(3);
    let (n_tokens, n_rows) = shape.awkward_size();
    let weight = inputs.weight(format, n_rows, n_columns.min(2048), 1 << 20)?;
    record(&mut g, &mut inputs, &weight, kind, n_tokens, dtype, shape)?;
    // A shape that a driver cannot compile is one that does not work.
    let program = match g.build(gpu, &mut Scratch::default()) {
        Ok(program) => program,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut wrong = None;
    program.check(gpu, &ONE, |difference| {
        if !difference.compared.ok() {
            wrong = Some(difference.to_string());
        }
        true
    })?;
    Ok(wrong)
}

/// Every shape of matrix products that this device may be given, checked against its twin. The variants
/// that are wrong, and what was.
pub fn check_shapes(gpu: &Gpu) -> Result<(usize, Vec<(String, String)>)> {
    let mut shapes: Vec<Shape> = Vec::new();
    for n_tokens in [1, 2, 4, 16] {
        for shape in matvec::candidates(gpu.caps(), n_tokens) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    let format = crate::tensor::format::by_name("Q8_0")?;
    let mut wrong = Vec::new();
    for &shape in &shapes {
        if let Some(why) = check_shape(gpu, format, 256, ProductKind::Store, Dtype::F16, shape)? {
            wrong.extend(crate::tensor::FORMATS.iter().map(|format| (shape.variant(format), why.clone())));
        }
    }
    Ok((shapes.len(), wrong))
}

/// The product with each of the weights, and what the first gives.
fn build(
    gpu: &Gpu,
    product: &Product,
    n_tokens: usize,
    dtype: Dtype,
    shape: Shape,
) -> Result<(Program, Tensor)> {
    let mut g = Graph::on(gpu);
    let mut inputs = Inputs::new(5);
    let mut first = None;
    for weight in &product.weights {
        let y = record(&mut g, &mut inputs, weight, product.kind, n_tokens, dtype, shape)?;
        first.get_or_insert(y);
    }
    let first = first.expect("a product has weights");
    g.keep(first);
    Ok((g.build(gpu, &mut Scratch::default())?, first))
}

fn record(
    g: &mut Graph,
    inputs: &mut Inputs,
    weight: &PackedWeight,
    kind: ProductKind,
    n_tokens: usize,
    dtype: Dtype,
    shape: Shape,
) -> Result<Tensor> {
    let x = inputs.tensor(g, n_tokens, weight.n_columns, dtype);
    let epilogue = match kind {
        ProductKind::Store => Epilogue::Store,
        ProductKind::Residual => {
            Epilogue::Residual { y: inputs.tensor(g, n_tokens, weight.n_rows, Dtype::F32) }
        }
        ProductKind::Activate(activation) => Epilogue::Activate { activation, dtype },
        ProductKind::Gated(activation) => Epilogue::Gated { activation, dtype },
    };
    matvec::record(g, x, weight, None, epilogue, shape)
}

impl ProductKind {
    /// The file that plays `epilogue`.
    pub fn role(self) -> &'static str {
        match self {
            ProductKind::Store => "store",
            ProductKind::Residual => "residual",
            ProductKind::Activate(_) => "activate",
            ProductKind::Gated(_) => "gated",
        }
    }
}
