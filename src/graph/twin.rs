//! Running a launch on its CPU twin and comparing results.

use super::launch::{Access, Launch};
use super::record::Dtype;
use crate::error::{Error, Result};
use crate::gpu::Sizes;
use crate::tensor::format::group_of;

/// What a twin sees of a launch: its parameters and its arguments as host memory.
///
/// Arguments are numbered in the order they were bound while recording, all groups together.
pub struct Call<'a> {
    launch: &'a Launch,
    params: Vec<u8>,
    pub sizes: Sizes,
    /// The words of each argument.
    arguments: Vec<Vec<u32>>,
    planes: Vec<Vec<u32>>,
    written: Vec<Option<Written>>,
}

/// What a twin wrote: values, and for each the size of the numbers that it was summed from.
struct Written {
    values: Vec<f64>,
    scales: Vec<f64>,
}

/// A comparison of a GPU's result with the twin's.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    pub n: usize,
    pub n_wrong: usize,
    /// The first wrong element: argument, index, expected, found, tolerance.
    pub first: Option<(usize, usize, f64, f64, f64)>,
    /// The largest |found - expected| / tolerance.
    pub worst: f64,
    pub max_error: f64,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        launch: &'a Launch,
        sizes: &Sizes,
        arguments: Vec<Vec<u32>>,
        planes: Vec<Vec<u32>>,
    ) -> Call<'a> {
        let mut params = launch.params.clone();
        for &(at, size) in &launch.patches {
            params[at..at + 4].copy_from_slice(&sizes.get(size).to_le_bytes());
        }
        let written = arguments.iter().map(|_| None).collect();
        Call { launch, params, sizes: *sizes, arguments, planes, written }
    }

    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// A number of `package::config`. Booleans are 0 and 1.
    pub fn config(&self, name: &str) -> Result<f64> {
        let found = self.launch.config.iter().find(|(given, _)| *given == name);
        match found {
            Some((_, super::ConfigValue::U32(value))) => Ok(f64::from(*value)),
            Some((_, super::ConfigValue::F32(value))) => Ok(f64::from(*value)),
            Some((_, super::ConfigValue::Bool(value))) => Ok(f64::from(u8::from(*value))),
            None => Err(Error::Gpu(format!("{}: no number {name} was given", self.launch.label))),
        }
    }

    pub fn config_usize(&self, name: &str) -> Result<usize> {
        Ok(self.config(name)? as usize)
    }

    /// Which file plays `role`.
    pub fn role(&self, role: &str) -> &'static str {
        self.launch.roles.iter().find(|(name, _)| *name == role).map_or("", |(_, choice)| choice)
    }

    /// The elements of argument `i`, rows padded as in memory.
    pub fn floats(&self, i: usize) -> Vec<f64> {
        self.launch.args[i].tensor.dtype.decode(&self.arguments[i])
    }

    pub fn words(&self, i: usize) -> &[u32] {
        &self.arguments[i]
    }

    /// The rows of argument `i` in this step.
    pub fn n_rows(&self, i: usize) -> usize {
        let rows = self.launch.args[i].tensor.rows;
        rows.size.map_or(rows.n_max, |size| self.sizes.get(size) as usize)
    }

    /// Elements from one row of argument `i` to the next.
    pub fn pitch(&self, i: usize) -> usize {
        self.launch.args[i].tensor.pitch()
    }

    pub fn dtype(&self, i: usize) -> Dtype {
        self.launch.args[i].tensor.dtype
    }

    /// Rows and blocks of 32 columns of the weight; (0, 0) without one.
    pub fn weight_shape(&self) -> (usize, usize) {
        self.launch.weight.as_ref().map_or((0, 0), |w| (w.n_rows, w.n_blocks))
    }

    /// Row `row` of the weight, padded to whole blocks. The decoding is the shader's.
    pub fn weight_row(&self, row: usize) -> Vec<f32> {
        let Some(weight) = &self.launch.weight else { return Vec::new() };
        let mut out = vec![0.0; weight.n_blocks * 32];
        let planes = self.planes.iter().zip(weight.format.planes);
        let planes: Vec<Vec<u32>> =
            planes.map(|(words, plane)| group_of(plane, words, weight.n_blocks, row / 4)).collect();
        let planes: Vec<&[u32]> = planes.iter().map(Vec::as_slice).collect();
        (weight.format.unpack_row)(&planes, weight.n_blocks, row % 4, &mut out);
        out
    }

    /// Stores the result for argument `i`: all elements, rows padded as in memory. The tolerance of an
    /// element is relative to its value.
    pub fn set(&mut self, i: usize, values: Vec<f64>) {
        let scales = values.iter().map(|v| v.abs()).collect();
        self.set_with_scales(i, values, scales);
    }

    /// Stores the result for argument `i`, with the size of the numbers that each element was summed
    /// from (for a dot product, the sum of the products' magnitudes).
    pub fn set_with_scales(&mut self, i: usize, values: Vec<f64>, scales: Vec<f64>) {
        self.arguments[i] = self.dtype(i).encode(&values);
        self.written[i] = Some(Written { values, scales });
    }

    /// What was stored for argument `i`, with its sizes.
    pub fn result(&self, i: usize) -> (Vec<f64>, Vec<f64>) {
        self.written[i].as_ref().map_or_else(Default::default, |w| (w.values.clone(), w.scales.clone()))
    }

    /// Stores words for argument `i` that must be met exactly.
    pub fn set_words(&mut self, i: usize, words: Vec<u32>) {
        self.written[i] = Some(Written {
            values: words.iter().map(|&w| f64::from(w)).collect(),
            scales: vec![0.0; words.len()],
        });
        self.arguments[i] = words;
    }

    /// Compares what the GPU left in the arguments with what the twin wrote.
    pub(super) fn compare(&self, found: &[Vec<u32>]) -> Result<Compared> {
        let mut compared = Compared::default();
        for (i, argument) in self.launch.args.iter().enumerate() {
            if argument.access == Access::Read {
                continue;
            }
            let Some(written) = &self.written[i] else {
                return Err(Error::Gpu(format!(
                    "{}: the twin did not write argument {i}",
                    self.launch.label
                )));
            };
            let dtype = argument.tensor.dtype;
            let found = dtype.decode(&found[i]);
            if found.len() < written.values.len() {
                return Err(Error::Gpu(format!(
                    "{}: the twin wrote {} elements of argument {i}, which has {}",
                    self.launch.label,
                    written.values.len(),
                    found.len()
                )));
            }
            let steps = block_scales(dtype, &written.values);
            for (j, (&expected, &scale)) in written.values.iter().zip(&written.scales).enumerate() {
                let tolerance = tolerance(dtype, self.launch.n_terms, expected, scale)
                    + steps.as_ref().map_or(0.0, |steps| steps[j / 32]);
                compared.add(i, j, expected, found[j], tolerance);
            }
        }
        Ok(compared)
    }
}

/// The error that rounding explains: f32 sums of `n_terms` numbers of total size `scale`, a few more
/// roundings (exponentials, divisions) on the way, and storing the result.
///
/// Rounding errors of a sum of n terms grow as sqrt(n) (Higham & Mary 2019, doi:10.1137/18M1226312).
fn tolerance(dtype: Dtype, n_terms: usize, expected: f64, scale: f64) -> f64 {
    let sum = f64::from(f32::EPSILON) * (8.0 + 2.0 * (n_terms as f64).sqrt()) * scale;
    // Results below the smallest normal f32 (or f16) may be flushed to zero.
    let flushed = match dtype {
        Dtype::F16 => 6.2e-5,
        Dtype::U32 => 0.0,
        _ => 1.2e-38,
    };
    sum + dtype.epsilon() * expected.abs() * if is_blocks(dtype) { 0.0 } else { 1.0 } + flushed
}

fn is_blocks(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Q8 | Dtype::Q8Sums)
}

/// Of blocks of bytes, one quantisation step of each; the rounding may fall either way.
fn block_scales(dtype: Dtype, values: &[f64]) -> Option<Vec<f64>> {
    is_blocks(dtype).then(|| {
        let largest = |block: &[f64]| block.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        values.chunks(32).map(|block| 0.5005 * largest(block) / 127.0).collect()
    })
}

impl Compared {
    fn add(&mut self, argument: usize, index: usize, expected: f64, found: f64, tolerance: f64) {
        self.n += 1;
        let error = (found - expected).abs();
        let same = found == expected || (found.is_nan() && expected.is_nan());
        if !same {
            self.max_error = self.max_error.max(error);
            self.worst = self.worst.max(error / tolerance.max(f64::MIN_POSITIVE));
        }
        // A NaN fails this comparison too.
        if !same && !(error <= tolerance) {
            self.n_wrong += 1;
            self.first.get_or_insert((argument, index, expected, found, tolerance));
        }
    }

    pub fn ok(&self) -> bool {
        self.n_wrong == 0
    }
}
