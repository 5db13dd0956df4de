//! Chooses the shapes of matrix products by measuring them on a device.
//!
//! A candidate is taken only if it agrees with its CPU twin, gives the very bits that the table's shape
//! gives (so that results depend neither on the choice nor on the batch), and is clearly faster.

use std::borrow::Cow;

use super::inputs::{input_dtype, real_dtype};
use super::matvec;
use super::measure::ONE;
use super::shape::{Shape, candidates};
use super::{ALL, Activation, Epilogue};
use crate::error::Result;
use crate::gpu::{Choice, Gpu, Tuning, fnv};
use crate::graph::{
    Dtype, Graph, Inputs, PackedWeight, Program, Scratch, Tensor, Wgsl, library, shader_text,
};
use crate::tensor::Format;

/// A candidate must be this much faster than the table's shape.
const GAIN_MIN: f64 = 1.03;

/// Seconds of one candidate in one round, and rounds.
const SECONDS: f64 = 0.01;
const N_ROUNDS: usize = 9;

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

/// A hash of every shader text that would be compiled, which a tuning belongs to.
pub fn shaders_hash() -> u64 {
    let mut files: Vec<Wgsl> = library().to_vec();
    for kernel in ALL {
        files.push(kernel.wgsl);
        files.extend(kernel.roles.iter().flat_map(|role| (role.files)()).map(|(_, file)| file));
    }
    // A file that cannot be read fails where it is compiled.
    let texts = files.iter().map(|file| shader_text(file).unwrap_or(Cow::Borrowed(file.text)));
    fnv(texts.flat_map(|text| text.into_owned().into_bytes()))
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
    let shapes = candidates(gpu.caps(), weight.n_rows, n_tokens);
    let mut g = Graph::on(gpu);
    let real = real_dtype(&mut g, dtype);
    let input = input_dtype(&g, real, &[format]);
    let key = matvec::key(weight, product.kind.role(), input, n_tokens);
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
    if runs.is_empty() {
        return Ok(None);
    }
    let times = race(gpu, &runs)?;
    let (best, _) = winner(&times);
    let median_of = |i: usize| median(times[i].iter().copied()) / product.weights.len() as f64;
    let choice = Choice {
        variant: runs[best].0.variant(format),
        seconds: median_of(best),
        table_seconds: median_of(0),
    };
    let table_variant = runs[0].0.variant(format);
    Ok(Some(Tuned { key, choice, table_variant, refused }))
}

/// Seconds of each program in each round. In a round all run one right after another, there and back by
/// turns, so that what slows the machine slows all of them.
fn race(gpu: &Gpu, runs: &[(Shape, Program)]) -> Result<Vec<Vec<f64>>> {
    let once = gpu.seconds(&runs[0].1.plan, &ONE, 2)?;
    let n = ((SECONDS / once.max(1e-9)) as usize).clamp(1, 500);
    let mut times = vec![Vec::new(); runs.len()];
    for round in 0..N_ROUNDS {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            times[i].push(gpu.seconds(&runs[i].1.plan, &ONE, n)?);
        }
    }
    Ok(times)
}

/// The place of the fastest and how much faster than the first it is: by the median of its rounds' ratios,
/// and only where it won all rounds but one.
fn winner(times: &[Vec<f64>]) -> (usize, f64) {
    let mut best = (0, 1.0f64);
    for i in 1..times.len() {
        let ratios: Vec<f64> = times[0].iter().zip(&times[i]).map(|(table, own)| table / own).collect();
        let n_won = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let ratio = median(ratios.iter().copied());
        if n_won + 1 >= ratios.len() && ratio > best.1.max(GAIN_MIN) {
            best = (i, ratio);
        }
    }
    best
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
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
        // All shapes are candidates for any number of rows.
        for shape in candidates(gpu.caps(), 64, n_tokens) {
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
    let dtype = real_dtype(g, dtype);
    let input = input_dtype(g, dtype, &[weight.format]);
    let x = inputs.activations(g, n_tokens, weight.n_columns, input);
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

#[cfg(test)]
mod tests {
    use super::winner;

    #[test]
    fn a_winner_wins_nearly_every_round_and_clearly() {
        let table = vec![1.0, 2.0, 1.0, 4.0, 1.0];
        let scaled = |by: f64| table.iter().map(|t| t * by).collect::<Vec<f64>>();
        assert_eq!(winner(&[table.clone(), scaled(0.8), scaled(0.5)]).0, 2);
        assert_eq!(winner(&[table.clone(), scaled(0.99)]).0, 0, "too little");
        assert_eq!(winner(&[table.clone(), scaled(1.2)]).0, 0);
        // Much faster in the median, slower in two rounds of five: chance.
        assert_eq!(winner(&[table.clone(), vec![0.5, 1.0, 0.5, 5.0, 1.1]]).0, 0);
        assert_eq!(winner(&[table]).0, 0);
    }
}
