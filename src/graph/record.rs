//! Recording launches of kernels.
//!
//! A [`Graph`] needs no device: it records what will run, on tensors that are external (bound memory)
//! or temporary (scratch, placed by [`Graph::build`]). Shapes are checked while recording.

use std::sync::Arc;

use half::f16;

use super::kernel::Kernel;
use super::launch::{Launch, LaunchBuilder};
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Gpu, IMAGE_LEN_MAX, Image, Size, Slice, Tuning};

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    /// Two to a word.
    F16,
    U32,
    /// Blocks of 32 in 9 words: an f32 scale, then 32 signed bytes. Value: scale * q.
    Q8,
    /// Blocks of 32 in 12 words: 32 signed bytes, an f32 scale, the sums of bytes 0..16 and 16..32 as f32, 0.
    /// Value: scale * q. For inputs of matrix products.
    Q8Sums,
}

impl Dtype {
    /// Words of `n` elements.
    pub fn words(&self, n: usize) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 => n,
            Dtype::F16 => n.div_ceil(2),
            Dtype::Q8 => n.div_ceil(32) * 9,
            Dtype::Q8Sums => n.div_ceil(32) * 12,
        }
    }

    /// The elements that `words` hold. U32 gives the integers.
    pub fn decode(&self, words: &[u32]) -> Vec<f64> {
        match self {
            Dtype::F32 => words.iter().map(|&w| f64::from(f32::from_bits(w))).collect(),
            Dtype::U32 => words.iter().map(|&w| f64::from(w)).collect(),
            Dtype::F16 => {
                let halves = words.iter().flat_map(|&w| [w as u16, (w >> 16) as u16]);
                halves.map(|bits| f64::from(f16::from_bits(bits).to_f32())).collect()
            }
            Dtype::Q8 => words
                .chunks_exact(9)
                .flat_map(|block| {
                    let scale = f64::from(f32::from_bits(block[0]));
                    let bytes = block[1..].iter().flat_map(|w| w.to_le_bytes());
                    bytes.map(move |byte| scale * f64::from(byte as i8)).collect::<Vec<_>>()
                })
                .collect(),
            Dtype::Q8Sums => words.chunks_exact(12).flat_map(decode_q8_sums).collect(),
        }
    }

    /// The words that hold `values`, rounded to the type.
    pub fn encode(&self, values: &[f64]) -> Vec<u32> {
        match self {
            Dtype::F32 => values.iter().map(|&v| (v as f32).to_bits()).collect(),
            Dtype::U32 => values.iter().map(|&v| v as u32).collect(),
            Dtype::F16 => values
                .chunks(2)
                .map(|pair| {
                    let half = |i: usize| pair.get(i).map_or(0, |&v| u32::from(f16::from_f64(v).to_bits()));
                    half(0) | half(1) << 16
                })
                .collect(),
            Dtype::Q8 => values.chunks(32).flat_map(encode_q8).collect(),
            Dtype::Q8Sums => values.chunks(32).flat_map(encode_q8_sums).collect(),
        }
    }

    /// The relative error of storing a number.
    pub fn epsilon(&self) -> f64 {
        match self {
            Dtype::F32 => f64::from(f32::EPSILON),
            Dtype::F16 => 1.0 / 1024.0,
            Dtype::U32 => 0.0,
            Dtype::Q8 | Dtype::Q8Sums => 1.0 / 127.0,
        }
    }
}

fn encode_q8(values: &[f64]) -> [u32; 9] {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let scale = (largest / 127.0) as f32;
    let inverse = if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 };
    let mut words = [0u32; 9];
    words[0] = scale.to_bits();
    for (i, v) in values.iter().enumerate() {
        let q = (v * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        words[1 + i / 4] |= u32::from(q as u8) << (8 * (i % 4));
    }
    words
}

/// The sums of the halves of 32 signed bytes.
fn half_sums(bytes: &[u32]) -> [f32; 2] {
    [0, 4].map(|at| {
        let bytes = bytes[at..at + 4].iter().flat_map(|word| word.to_le_bytes());
        bytes.map(|byte| f32::from(byte as i8)).sum()
    })
}

fn encode_q8_sums(values: &[f64]) -> [u32; 12] {
    let block = encode_q8(values);
    let mut words = [0u32; 12];
    words[..8].copy_from_slice(&block[1..]);
    words[8] = block[0];
    let [low, high] = half_sums(&words);
    (words[9], words[10]) = (low.to_bits(), high.to_bits());
    words
}

/// NaN where the sums are not those of the bytes, so that no comparison overlooks it.
fn decode_q8_sums(words: &[u32]) -> Vec<f64> {
    let scale = match half_sums(words).map(f32::to_bits) == [words[9], words[10]] {
        true => f64::from(f32::from_bits(words[8])),
        false => f64::NAN,
    };
    let bytes = words[..8].iter().flat_map(|word| word.to_le_bytes());
    bytes.map(|byte| scale * f64::from(byte as i8)).collect()
}

/// The number of rows of a tensor: fixed, or the most of a count that each step brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub n_max: usize,
    pub size: Option<Size>,
}

impl Rows {
    pub fn up_to(n_max: usize, size: Size) -> Rows {
        Rows { n_max, size: Some(size) }
    }
}

impl From<usize> for Rows {
    fn from(n_max: usize) -> Rows {
        Rows { n_max, size: None }
    }
}

/// The most that workgroups wait: this and the work of all are within the rounds that drivers grant.
pub const POLLS_MAX: u32 = 8_000;

/// Words of a texel of activations: 8 of F16, 4 of F32, or a third of a block of Q8Sums.
pub const TEXEL_WORDS: u32 = 4;

/// A handle of a tensor in one graph.
///
/// Shape: (n_rows, n_columns), each row padded to a multiple of 4 elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    pub(super) id: usize,
    pub rows: Rows,
    pub n_columns: usize,
    pub dtype: Dtype,
    /// Words of a texel, where it lies in an image (see `graph::images`).
    pub texel: Option<u32>,
}

impl Tensor {
    /// The most rows there are.
    pub fn n_rows(&self) -> usize {
        self.rows.n_max
    }

    /// A grid's extent of one workgroup per `per` rows.
    pub fn row_extent(&self, per: u32) -> Extent {
        match self.rows.size {
            Some(size) => Extent::Per(size, per),
            None => Extent::Fixed((self.rows.n_max as u32).div_ceil(per)),
        }
    }

    /// Elements from one row to the next.
    pub fn pitch(&self) -> usize {
        self.n_columns.next_multiple_of(4)
    }

    /// Groups of 4 elements in the whole tensor.
    pub fn quads(&self) -> u64 {
        (self.n_rows() * self.pitch() / 4) as u64
    }

    /// Texels of the whole tensor, where it is activations in an image.
    pub(super) fn texels(&self) -> u64 {
        self.bytes().div_ceil(4 * u64::from(TEXEL_WORDS))
    }

    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> u64 {
        4 * self.dtype.words(self.n_rows() * self.pitch()) as u64
    }
}

/// Memory that exists before the graph runs.
#[derive(Debug, Clone)]
pub enum Binding {
    Device(Slice),
    /// Words that are uploaded when the graph is built. For tests and small tables.
    Host(Arc<Vec<u32>>),
    Image(Image),
    /// Words that become an image of elements of so many words.
    HostImage(Arc<Vec<u32>>, u32),
}

impl Binding {
    /// Numbers that kernels read by quads: an image where the device reads images faster.
    pub fn quads(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Binding> {
        let words: &[u32] = bytemuck::cast_slice(values);
        match quads_are_image(gpu.caps(), values.len()) {
            true => Ok(Binding::Image(gpu.image_with(label, words, TEXEL_WORDS)?)),
            false => Ok(Binding::Device(gpu.buffer_with(label, bytemuck::cast_slice(words))?.whole())),
        }
    }

    /// As [`Binding::quads`] of `n` numbers, but without them: to record launches with, not to run them.
    pub fn outline_of_quads(caps: &Caps, n: usize) -> Binding {
        match quads_are_image(caps, n) {
            true => Binding::HostImage(Arc::default(), TEXEL_WORDS),
            false => Binding::Host(Arc::default()),
        }
    }

    /// What the memory is called.
    pub fn label(&self) -> &str {
        match self {
            Binding::Device(slice) => slice.buffer.label(),
            Binding::Image(image) => image.label(),
            Binding::Host(_) | Binding::HostImage(..) => "",
        }
    }
}

/// Words of a texel of an image of F16, whose rows have `n_columns`: of octets, where lanes can write them
/// together, or of quads.
pub fn half_texel_words(caps: &Caps, n_columns: usize) -> u32 {
    if n_columns.is_multiple_of(8) && caps.subgroup_min >= 4 { TEXEL_WORDS } else { TEXEL_WORDS / 2 }
}

fn quads_are_image(caps: &Caps, n: usize) -> bool {
    caps.images && n as u64 / u64::from(TEXEL_WORDS) <= IMAGE_LEN_MAX
}

#[derive(Debug, Clone)]
pub(super) enum Storage {
    External(Binding),
    Temporary { keep: bool },
}

#[derive(Debug, Clone)]
pub(super) struct TensorInfo {
    pub name: String,
    pub tensor: Tensor,
    pub storage: Storage,
}

/// The variant that stands for all exchange by subgroups, where kernels are wrong with it and right without.
pub const SUBGROUPS: &str = "subgroups";

/// A list of launches on tensors.
pub struct Graph {
    caps: Caps,
    tuning: Arc<Tuning>,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) launches: Vec<Launch>,
    none: Option<Tensor>,
    arrivals: Option<Tensor>,
    /// How often threads wait in launches that are joined, 0 where none are; and the launches that begin a
    /// new dispatch.
    pub(super) polls: u32,
    pub(super) boundaries: Vec<usize>,
    /// Whether inputs of products may be in blocks of bytes.
    byte_inputs: bool,
    /// The positions of a text whose attention is wanted, and the weights recorded so far.
    watch: Option<(usize, Vec<Tensor>)>,
}

impl Graph {
    pub fn new(caps: &Caps) -> Graph {
        Graph {
            caps: caps.clone(),
            tuning: Arc::default(),
            tensors: Vec::new(),
            launches: Vec::new(),
            none: None,
            arrivals: None,
            polls: POLLS_MAX,
            boundaries: Vec::new(),
            byte_inputs: false,
            watch: None,
        }
    }

    /// A graph for a device, with what was learnt of it.
    pub fn on(gpu: &Gpu) -> Graph {
        let mut graph = Graph::new(gpu.caps());
        graph.set_tuning(gpu.tuning());
        graph
    }

    /// Records by these choices, and without what failed.
    pub fn set_tuning(&mut self, tuning: Arc<Tuning>) {
        if tuning.has_failed(SUBGROUPS) {
            (self.caps.subgroup_min, self.caps.subgroup_max) = (0, 0);
        }
        self.tuning = tuning;
    }

    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Launches are joined where that is faster, and a workgroup asks so often whether others have finished
    /// before it leaves the rest to them. 0: each launch is a dispatch of its own.
    pub fn set_polls(&mut self, polls: u32) {
        self.polls = polls.min(POLLS_MAX);
    }

    /// Whether inputs of matrix products may be in blocks of bytes, where the device multiplies those faster.
    pub fn set_byte_inputs(&mut self, wanted: bool) {
        self.byte_inputs = wanted;
    }

    pub fn byte_inputs(&self) -> bool {
        self.byte_inputs
    }

    /// The next launch begins a new dispatch, so that parts that repeat are cut alike.
    pub fn boundary(&mut self) {
        self.boundaries.push(self.launches.len());
    }

    /// Also records what attention weighs from here on, over the first `n_positions` of a text.
    pub fn watch(&mut self, n_positions: usize) {
        self.watch = Some((n_positions, Vec::new()));
    }

    /// The positions whose weights are wanted, if any are.
    pub(crate) fn watched_positions(&self) -> Option<usize> {
        self.watch.as_ref().map(|(n_positions, _)| *n_positions)
    }

    /// Keeps what an attention layer weighs.
    pub(crate) fn watched(&mut self, weights: Tensor) {
        self.keep(weights);
        if let Some((_, all)) = &mut self.watch {
            all.push(weights);
        }
    }

    /// What attention weighs in each layer that was recorded since [`Graph::watch`]:
    /// (n_tokens, n_heads * n_positions).
    pub fn weights(&self) -> &[Tensor] {
        self.watch.as_ref().map_or(&[], |(_, weights)| weights)
    }

    /// A tensor in memory that exists already. Shape: (n_rows, n_columns).
    pub fn external(
        &mut self,
        name: &str,
        rows: impl Into<Rows>,
        n_columns: usize,
        dtype: Dtype,
        binding: Binding,
    ) -> Tensor {
        self.add(name, rows.into(), n_columns, dtype, Storage::External(binding))
    }

    /// Stands for an optional argument that is absent: 4 zeros.
    pub fn none(&mut self) -> Tensor {
        if let Some(none) = self.none {
            return none;
        }
        let none = self.external("none", 1, 4, Dtype::F32, Binding::Host(Arc::new(vec![0; 4])));
        self.none = Some(none);
        none
    }

    /// A tensor in scratch memory, which lives from its first to its last launch.
    /// Shape: (n_rows, n_columns).
    pub fn temp(&mut self, name: &str, rows: impl Into<Rows>, n_columns: usize, dtype: Dtype) -> Tensor {
        self.add(name, rows.into(), n_columns, dtype, Storage::Temporary { keep: false })
    }

    /// As [`Graph::temp`], for what only matrix products read: an image where the device reads images
    /// faster, `dtype` is F16 and rows are whole octets. Neighbouring lanes of a subgroup must write
    /// neighbouring quads, and all of an octet (see `graph::images`). Where `dtype` is Q8Sums and rows are
    /// whole blocks, they must write all of a block; else that is F16, too.
    pub fn activations(
        &mut self,
        name: &str,
        rows: impl Into<Rows>,
        n_columns: usize,
        dtype: Dtype,
    ) -> Tensor {
        let rows = rows.into();
        let quads = (rows.n_max * n_columns.div_ceil(4)) as u64;
        let blocks =
            self.caps.byte_blocks() && n_columns.is_multiple_of(32) && 3 * quads / 8 <= IMAGE_LEN_MAX;
        let dtype = if dtype == Dtype::Q8Sums && !blocks { Dtype::F16 } else { dtype };
        let octets = n_columns.is_multiple_of(8) && quads / 2 <= IMAGE_LEN_MAX;
        let octets = octets && self.caps.images && self.caps.subgroup_min >= 4;
        let mut tensor = self.temp(name, rows, n_columns, dtype);
        if dtype == Dtype::Q8Sums || dtype == Dtype::F16 && octets {
            tensor.texel = Some(TEXEL_WORDS);
            self.tensors[tensor.id].tensor = tensor;
        }
        tensor
    }

    /// Keeps a temporary alive to the end, to be read back or used by the next step.
    pub fn keep(&mut self, tensor: Tensor) {
        if let Storage::Temporary { keep } = &mut self.tensors[tensor.id].storage {
            *keep = true;
        }
    }

    pub fn name(&self, tensor: Tensor) -> &str {
        &self.tensors[tensor.id].name
    }

    /// Fails unless `tensor` has this shape.
    pub fn expect(&self, tensor: Tensor, n_rows: usize, n_columns: usize) -> Result<()> {
        if (tensor.n_rows(), tensor.n_columns) == (n_rows, n_columns) {
            return Ok(());
        }
        Err(Error::tensor(
            self.name(tensor),
            format!("expected ({n_rows}, {n_columns}), found ({}, {})", tensor.n_rows(), tensor.n_columns),
        ))
    }

    /// Fails unless the columns of `tensor` are a multiple of 4, which kernels read at once.
    pub fn expect_quads(&self, tensor: Tensor) -> Result<()> {
        if tensor.n_columns.is_multiple_of(4) {
            return Ok(());
        }
        Err(Error::Unsupported(format!(
            "{}: {} columns; kernels read 4 at a time, so a width must be a multiple of 4",
            self.name(tensor),
            tensor.n_columns
        )))
    }

    /// Begins the launch of `kernel`.
    pub fn launch(&mut self, kernel: &'static Kernel) -> LaunchBuilder<'_> {
        let launch = Launch {
            kernel,
            label: kernel.name.to_owned(),
            roles: Vec::new(),
            files: Vec::new(),
            config: Vec::new(),
            params: Vec::new(),
            patches: Vec::new(),
            args: Vec::new(),
            weight: None,
            grid: [Extent::Fixed(1); 3],
            n_terms: 1,
            rounds: None,
        };
        LaunchBuilder { graph: self, launch, error: None }
    }

    /// Takes back the launch recorded last, to be described further.
    pub fn reopen(&mut self) -> Option<LaunchBuilder<'_>> {
        let launch = self.launches.pop()?;
        Some(LaunchBuilder { graph: self, launch, error: None })
    }

    /// A count of one word that kernels leave at zero.
    pub fn arrivals(&mut self) -> Tensor {
        if let Some(arrivals) = self.arrivals {
            return arrivals;
        }
        let arrivals = self.external("arrivals", 1, 1, Dtype::U32, Binding::Host(Arc::new(vec![0])));
        self.arrivals = Some(arrivals);
        arrivals
    }

    fn add(&mut self, name: &str, rows: Rows, n_columns: usize, dtype: Dtype, storage: Storage) -> Tensor {
        let texel = match &storage {
            Storage::External(Binding::Image(image)) => Some(image.texel_words()),
            Storage::External(Binding::HostImage(_, n_words)) => Some(*n_words),
            _ => None,
        };
        let tensor = Tensor { id: self.tensors.len(), rows, n_columns, dtype, texel };
        self.tensors.push(TensorInfo { name: name.to_owned(), tensor, storage });
        tensor
    }
}
