//! Skip-gram with negative sampling. The maths is in `shaders/skip_gram.wgsl`.

use super::roles::{self, CLUSTER};
use super::tiles::{Objective, Packer, Tile, TileShape};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Inputs, Kernel, Tensor, params, wgsl};

pub static SKIP_GRAM: Kernel = Kernel {
    name: "skip_gram",
    wgsl: wgsl!("skip_gram"),
    roles: &[&CLUSTER],
    params: TileParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shaders of `skip_gram` and `cbow`.
    pub struct TileParams {
        first_word: u32,
        first_loss: u32,
        n_tiles: u32,
        record: u32,
        first_input: u32,
        pitch: u32,
    }
}

/// The tensors that training works on.
#[derive(Debug, Clone, Copy)]
pub struct Training {
    /// (1, n_batches * batch), U32, laid out by [`Packer`]
    pub tiles: Tensor,
    /// (n_words + slots, pitch)
    pub inputs: Tensor,
    /// (n_words + slots, pitch)
    pub outputs: Tensor,
    /// (1, n_batches * n_tiles)
    pub losses: Tensor,
}

impl TileShape {
    /// Where batch `batch` lies.
    pub(super) fn params(&self, batch: usize) -> TileParams {
        TileParams {
            first_word: (batch * self.batch()) as u32,
            first_loss: (batch * self.n_tiles) as u32,
            n_tiles: self.n_tiles as u32,
            record: self.record() as u32,
            first_input: self.first_input() as u32,
            pitch: self.pitch as u32 / 4,
        }
    }

    /// Quads and single elements of a row per lane.
    pub(super) fn per_lane(&self) -> (u32, u32) {
        (self.pitch as u32 / 32, self.pitch as u32 % 32 / 8)
    }
}

/// Records the tiles of batch `batch`. `n_drawn`: the negatives that each pair meets, as a sum of weights.
pub fn skip_gram(g: &mut Graph, shape: &TileShape, t: &Training, batch: usize, n_drawn: usize) -> Result<()> {
    let cluster = roles::cluster(g.caps());
    record(g, shape, t, batch, n_drawn, cluster)
}

fn record(
    g: &mut Graph,
    shape: &TileShape,
    t: &Training,
    batch: usize,
    n_drawn: usize,
    cluster: &'static str,
) -> Result<()> {
    let n_outputs = shape.n_outputs() as u32;
    let (quads, tail) = shape.per_lane();
    g.launch(&SKIP_GRAM)
        .role(&CLUSTER, cluster)
        .config("CENTRES", shape.n_centres as u32)
        .config("CHUNKS", n_outputs / 8)
        .config("CLUSTERS", shape.clusters as u32)
        .config("NEGATIVE_WEIGHT", n_drawn as f32 / shape.n_negatives as f32)
        .config("OUTPUTS", n_outputs)
        // Arrays have at least one element.
        .config("OUTPUT_QUADS", (n_outputs * quads).max(1))
        .config("OUTPUT_TAILS", (n_outputs * tail).max(1))
        .config("QUADS", quads)
        .config("QUADS_MAX", quads.max(1))
        .config("TAIL", tail)
        .config("TAILS", tail.max(1))
        .config("WG_SIZE", 8 * shape.clusters as u32)
        .params(&shape.params(batch))
        .read(t.tiles)
        .update(t.inputs)
        .update(t.outputs)
        .update(t.losses)
        .grid([
            Extent::Fixed(shape.n_tiles.div_ceil(shape.clusters) as u32),
            Extent::Fixed(1),
            Extent::Fixed(1),
        ])
        .terms(shape.pitch)
        .record()
}

/// Rows of numbers, and the size of the numbers that each was summed from.
#[derive(Debug, Clone)]
pub struct Values {
    pub values: Vec<f64>,
    pub scales: Vec<f64>,
}

impl Values {
    pub fn new(values: Vec<f64>) -> Values {
        let scales = values.iter().map(|v| v.abs()).collect();
        Values { values, scales }
    }

    pub(super) fn row(&self, row: u32, pitch: usize) -> Values {
        let at = row as usize * pitch..(row as usize + 1) * pitch;
        Values { values: self.values[at.clone()].to_vec(), scales: self.scales[at].to_vec() }
    }

    pub(super) fn set_row(&mut self, row: u32, from: Values) {
        let at = row as usize * from.values.len();
        self.values[at..at + from.values.len()].copy_from_slice(&from.values);
        self.scales[at..at + from.scales.len()].copy_from_slice(&from.scales);
    }

    pub(super) fn zeros(pitch: usize) -> Values {
        Values { values: vec![0.0; pitch], scales: vec![0.0; pitch] }
    }

    /// The dot product and the size of its terms.
    pub(super) fn dot(&self, other: &Values) -> (f64, f64) {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        (sum(&self.values, &other.values), sum(&self.scales, &other.scales))
    }

    /// `self += gradient * other`; `error`: what the gradient is uncertain by, as a size.
    pub(super) fn add(&mut self, gradient: f64, error: f64, other: &Values) {
        for i in 0..self.values.len() {
            self.values[i] += gradient * other.values[i];
            self.scales[i] += error * other.scales[i];
        }
    }
}

/// log(1 + exp(x))
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The step of one tile in f64: reads rows of `old`, writes rows of `new`, returns the loss before the
/// step (exactly so at rate 0) and the size of its terms. `words`: the tile's record.
pub fn skip_gram_tile(
    shape: &TileShape,
    n_drawn: f64,
    words: &[u32],
    old: (&Values, &Values),
    new: (&mut Values, &mut Values),
) -> (f64, f64) {
    let pitch = shape.pitch;
    let rate = f64::from(f32::from_bits(words[1]));
    let outputs = words[shape.first_output()..shape.first_input()].chunks_exact(3);
    let mut u: Vec<Values> = outputs.clone().map(|entry| old.1.row(entry[0], pitch)).collect();
    let (mut loss, mut loss_scale) = (0.0, 0.0);
    for entry in words[shape.first_input()..].chunks_exact(3).take(words[0] as usize) {
        let pairs = entry[2];
        let v = old.0.row(entry[0], pitch);
        let mut step = v.clone();
        for (o, output) in outputs.clone().enumerate() {
            let (label, weight) = if o < shape.n_centres {
                (1.0, f64::from(pairs >> o & 1))
            } else {
                let n = (pairs & !output[2]).count_ones();
                (0.0, n_drawn / shape.n_negatives as f64 * f64::from(n))
            };
            let (x, size) = u[o].dot(&v);
            let gradient = rate * weight * (label - sigmoid(x));
            let error = rate * weight * (1.0 + size);
            let wrong = if label == 1.0 { softplus(-x) } else { softplus(x) };
            loss += weight * wrong;
            loss_scale += weight * (wrong + size);
            step.add(gradient, error, &u[o]);
            u[o].add(gradient, error, &v);
        }
        new.0.set_row(entry[1], step);
    }
    for (entry, u) in outputs.zip(u) {
        new.1.set_row(entry[1], u);
    }
    (loss, loss_scale)
}

fn twin(call: &mut Call) -> Result<()> {
    let shape = TileShape {
        objective: Objective::SkipGram,
        n_centres: call.config_usize("CENTRES")?,
        n_negatives: call.config_usize("OUTPUTS")? - call.config_usize("CENTRES")?,
        ..TileShape::of(&call.params())
    };
    let n_drawn = call.config("NEGATIVE_WEIGHT")? * shape.n_negatives as f64;
    run_twin(call, &shape, |words, old, new| skip_gram_tile(&shape, n_drawn, words, old, new))
}

impl TileShape {
    /// The sizes that params tell.
    pub(super) fn of(p: &TileParams) -> TileShape {
        let window = (p.record - p.first_input) as usize / 6;
        TileShape {
            objective: Objective::SkipGram,
            n_centres: 0,
            n_negatives: 0,
            window,
            n_tiles: p.n_tiles as usize,
            clusters: 1,
            pitch: 4 * p.pitch as usize,
        }
    }
}

/// Runs the step of each tile of a launch on what the rows held before it.
pub(super) fn run_twin(
    call: &mut Call,
    shape: &TileShape,
    mut tile: impl FnMut(&[u32], (&Values, &Values), (&mut Values, &mut Values)) -> (f64, f64),
) -> Result<()> {
    let p: TileParams = call.params();
    let old = (Values::new(call.floats(1)), Values::new(call.floats(2)));
    let mut new = old.clone();
    let mut losses = Values::new(call.floats(3));
    let tiles = call.words(0)[p.first_word as usize..].chunks_exact(p.record as usize);
    for (i, words) in tiles.take(shape.n_tiles).enumerate() {
        let (loss, scale) = tile(words, (&old.0, &old.1), (&mut new.0, &mut new.1));
        losses.values[p.first_loss as usize + i] = loss;
        losses.scales[p.first_loss as usize + i] = scale;
    }
    call.set_with_scales(1, new.0.values, new.0.scales);
    call.set_with_scales(2, new.1.values, new.1.scales);
    call.set_with_scales(3, losses.values, losses.scales);
    Ok(())
}

/// Tiles of random words and the tensors they train, the second batch of two filled.
pub(super) fn random_training(
    g: &mut Graph,
    inputs: &mut Inputs,
    shape: &TileShape,
    n_words: usize,
) -> Training {
    let text: Vec<u32> = (0..shape.n_tiles * shape.n_centres).map(|_| inputs.below(n_words as u32)).collect();
    let mut tiles = Vec::new();
    // The last tile is empty and the one before it short.
    for first in (0..text.len() - shape.n_centres).step_by(shape.n_centres) {
        let n = if first + 2 * shape.n_centres >= text.len() { 1 } else { shape.n_centres };
        let mut tile = Tile { centres: text[first..first + n].to_vec(), ..Tile::default() };
        tile.negatives = (0..shape.n_negatives).map(|_| inputs.below(n_words as u32)).collect();
        for i in first.saturating_sub(shape.window)..(first + n + shape.window).min(text.len()) {
            let near = inputs.below(1 << n);
            if near != 0 {
                tile.inputs.push((text[i], near));
            }
        }
        tiles.push(tile);
    }
    let mut words = vec![0; 2 * shape.batch()];
    Packer::new(*shape, n_words).pack(&tiles, 0.025, &mut words[shape.batch()..]);
    Training {
        tiles: inputs.words(g, words),
        inputs: inputs.tensor(g, n_words + shape.input_slots(), shape.pitch, Dtype::F32),
        outputs: inputs.tensor(g, n_words + shape.output_slots(), shape.pitch, Dtype::F32),
        losses: inputs.floats(g, 1, 2 * shape.n_tiles, &vec![0.0; 2 * shape.n_tiles]),
    }
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for cluster in roles::cluster_variants(caps) {
        let clusters = if cluster == "shared" { 1 } else { 4 };
        for (n_centres, n_negatives, pitch, clusters) in
            [(8, 8, 104, 1), (4, 4, 64, clusters), (4, 4, 24, clusters), (8, 16, 8, 1), (4, 4, 48, 1)]
        {
            let shape = TileShape {
                objective: Objective::SkipGram,
                n_centres,
                n_negatives,
                window: 3,
                n_tiles: 6,
                clusters,
                pitch,
            };
            let name = format!("{n_centres}+{n_negatives} x{pitch} {clusters} {cluster}");
            cases.push(Case::new(name, Sizes::default(), move |g, inputs| {
                let t = random_training(g, inputs, &shape, 60);
                record(g, &shape, &t, 1, 5, cluster)
            }));
        }
    }
    cases
}
