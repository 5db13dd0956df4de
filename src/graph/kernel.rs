//! What a kernel is: a shader, the roles it needs, a CPU twin and test cases.

use std::sync::Arc;

use super::link::Wgsl;
use super::params::Field;
use super::record::{Binding, Dtype, Graph, Rows, TEXEL_WORDS, Tensor, half_texel_words};
use super::twin::Call;
use super::weight::PackedWeight;
use crate::error::Result;
use crate::gpu::{Caps, Sizes};
use crate::tensor::{Format, Shape};

/// A kernel: `shaders/NAME.wgsl` and `src/kernels/NAME.rs`.
pub struct Kernel {
    pub name: &'static str,
    pub wgsl: Wgsl,
    /// Everything in the shader that is played by one of several files.
    pub roles: &'static [&'static Role],
    /// The fields of `Params`; empty where the kernel has none.
    pub params: &'static [Field],
    /// The plain CPU version: f64 sums, the simplest loops.
    pub twin: fn(&mut Call) -> Result<()>,
    /// Test cases for a device with these capabilities, every variant that it can run.
    pub cases: fn(&Caps) -> Vec<Case>,
}

/// A name in shaders that stands for one of several files with the same functions.
pub struct Role {
    pub name: &'static str,
    pub files: fn() -> Vec<(&'static str, Wgsl)>,
}

impl Role {
    /// The file that plays this role under the name `choice`.
    pub fn file(&self, choice: &str) -> Option<Wgsl> {
        (self.files)().into_iter().find(|(name, _)| *name == choice).map(|(_, file)| file)
    }
}

/// What a test records.
pub type Record = Box<dyn Fn(&mut Graph, &mut Inputs) -> Result<()> + Send + Sync>;

/// A test case: records launches on random inputs. Each launch is compared with its twin.
pub struct Case {
    pub name: String,
    pub sizes: Sizes,
    pub record: Record,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        sizes: Sizes,
        record: impl Fn(&mut Graph, &mut Inputs) -> Result<()> + Send + Sync + 'static,
    ) -> Case {
        Case { name: name.into(), sizes, record: Box::new(record) }
    }
}

/// Random inputs for test cases, the same for the same seed (SplitMix64).
pub struct Inputs {
    state: u64,
}

impl Inputs {
    pub fn new(seed: u64) -> Inputs {
        Inputs { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..n.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u32
    }

    /// Uniform in -1..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// About normal, mean 0 and variance 1 (a sum of uniform numbers).
    pub fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() * std::f32::consts::FRAC_1_SQRT_2
    }

    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// A tensor of normal numbers. Shape: (n_rows, n_columns).
    pub fn tensor(&mut self, g: &mut Graph, rows: impl Into<Rows>, n_columns: usize, dtype: Dtype) -> Tensor {
        let rows = rows.into();
        let n = rows.n_max * n_columns.next_multiple_of(4);
        let values: Vec<f64> = self.normals(n).into_iter().map(f64::from).collect();
        let words = dtype.encode(&values);
        g.external("random", rows, n_columns, dtype, Binding::Host(Arc::new(words)))
    }

    /// A tensor of normal numbers as activations in an image. Shape: (n_rows, n_columns), whole octets of
    /// F16 or blocks of Q8Sums.
    pub fn image(&mut self, g: &mut Graph, rows: impl Into<Rows>, n_columns: usize, dtype: Dtype) -> Tensor {
        let rows = rows.into();
        let n = rows.n_max * n_columns.next_multiple_of(4);
        let values: Vec<f64> = self.normals(n).into_iter().map(f64::from).collect();
        let words = Arc::new(dtype.encode(&values));
        g.external("random", rows, n_columns, dtype, Binding::HostImage(words, TEXEL_WORDS))
    }

    /// A tensor of normal numbers in the memory of [`Graph::activations`]. Shape: (n_rows, n_columns).
    pub fn activations(
        &mut self,
        g: &mut Graph,
        rows: impl Into<Rows>,
        n_columns: usize,
        dtype: Dtype,
    ) -> Tensor {
        let rows = rows.into();
        let like = g.activations("random", rows, n_columns, dtype);
        match like.texel {
            Some(_) => self.image(g, rows, n_columns, like.dtype),
            None => self.tensor(g, rows, n_columns, like.dtype),
        }
    }

    /// A pool of keys or values of normal numbers: an image where the device would have one.
    /// Shape: (n_rows, n_columns).
    pub fn pool(&mut self, g: &mut Graph, n_rows: usize, n_columns: usize, dtype: Dtype) -> Tensor {
        if !g.caps().images || dtype != Dtype::F16 {
            return self.tensor(g, n_rows, n_columns, dtype);
        }
        let values: Vec<f64> = self.normals(n_rows * n_columns).into_iter().map(f64::from).collect();
        let words = Arc::new(Dtype::F16.encode(&values));
        let texel_words = half_texel_words(g.caps(), n_columns);
        g.external("random", n_rows, n_columns, Dtype::F16, Binding::HostImage(words, texel_words))
    }

    /// A tensor that holds these words.
    pub fn words(&mut self, g: &mut Graph, words: Vec<u32>) -> Tensor {
        g.external("words", 1, words.len(), Dtype::U32, Binding::Host(Arc::new(words)))
    }

    /// A tensor that holds these values. Shape: (n_rows, n_columns).
    pub fn floats(&mut self, g: &mut Graph, n_rows: usize, n_columns: usize, values: &[f32]) -> Tensor {
        let words = values.iter().map(|v| v.to_bits()).collect();
        g.external("floats", n_rows, n_columns, Dtype::F32, Binding::Host(Arc::new(words)))
    }

    /// A packed weight of random blocks in `format`. Shape: (n_rows, n_columns).
    /// `rows_max`: rows per chunk, to test how tensors above the binding limit are split.
    pub fn weight(
        &mut self,
        format: &'static Format,
        n_rows: usize,
        n_columns: usize,
        rows_max: usize,
    ) -> Result<PackedWeight> {
        PackedWeight::random(format, &Shape::new([n_rows, n_columns]), rows_max, self)
    }
}
