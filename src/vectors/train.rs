//! Training of word vectors on the GPU: skip-gram and CBOW with negative sampling.
//!
//! The text is taken piece by piece. The host thins a piece out, draws windows and negatives and packs
//! them as batches of tiles, while the device still works on the batches before. The tiles of a batch
//! lie far apart in the piece, so that few of them use the same rows; see `kernels::tiles` for how the
//! rows that they do share are updated. The losses come back two submissions later.

use std::collections::VecDeque;

use super::corpus::Corpus;
use super::draw::{Drawer, Random, WINDOW_MAX};
use super::file::WordVectors;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Readback, Sizes};
use crate::graph::{Binding, Dtype, Graph, Program, Scratch};
use crate::kernels::tiles::{Objective, Packer, Tile, TileShape};
use crate::kernels::{Training, cbow, merge_rows, skip_gram};

/// How vectors are trained. The defaults are gensim's.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    pub objective: Objective,
    pub dimensions: usize,
    /// Words on either side of a centre at most; each centre draws its own reach from 1 up to it.
    pub window: usize,
    /// Negatives per pair.
    pub negative: usize,
    /// Thins out words that are a larger share of the text than this; 0 keeps all.
    pub sample: f64,
    pub epochs: usize,
    /// The learning rate falls from `rate` to `rate_min` in a straight line.
    pub rate: f64,
    pub rate_min: f64,
    pub seed: u64,
    /// Words of a batch, whose rows are read before and changed after it; 0 chooses by the vocabulary.
    pub batch: usize,
}

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions {
            objective: Objective::SkipGram,
            dimensions: 100,
            window: 5,
            negative: 5,
            sample: 1e-3,
            epochs: 5,
            rate: 0.025,
            rate_min: 1e-4,
            seed: 1,
            batch: 0,
        }
    }
}

impl TrainOptions {
    /// Fails with the name of the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("dim", self.dimensions as f64, 1.0, 1024.0),
            ("window", self.window as f64, 1.0, WINDOW_MAX as f64),
            ("negative", self.negative as f64, 1.0, 1000.0),
            ("sample", self.sample, 0.0, 1.0),
            ("epochs", self.epochs as f64, 1.0, 1e6),
            ("rate", self.rate, 1e-9, 1.0),
            ("rate-min", self.rate_min, 0.0, self.rate),
            ("batch", self.batch as f64, 0.0, 65_536.0),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::Input(format!("--{name}: expected {low} to {high}, found {value}")));
            }
        }
        Ok(())
    }
}

/// Ids of a piece of the text.
const PIECE: usize = 32_768;
/// Batches that one submission has at most, and submissions under way.
const BATCHES: usize = 16;
const IN_FLIGHT: usize = 2;

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// The share of all epochs that is done.
    pub fraction: f64,
    /// The mean loss per prediction since the last report: of one word that is there and `negative` that
    /// are not.
    pub loss: f64,
    pub rate: f64,
}

/// Where training is: the pieces before are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub epoch: usize,
    pub piece: usize,
}

/// A training under way.
pub struct Trainer {
    gpu: Gpu,
    options: TrainOptions,
    corpus: Corpus,
    drawer: Drawer,
    shape: TileShape,
    packer: Packer,
    tiles: Buffer,
    inputs: Buffer,
    outputs: Buffer,
    losses: Buffer,
    program: Program,
    position: Position,
    /// Words for the device; reused.
    words: Vec<u32>,
    drawn: Vec<Tile>,
    /// Losses that are on their way, how many they are and of how many predictions.
    waiting: VecDeque<(Readback, usize, u32)>,
    spare: Vec<Readback>,
    /// Sum of the losses and number of predictions since the last report.
    loss: (f64, f64),
}

impl Trainer {
    /// Draws the first vectors: inputs uniform in +-1/dimensions, outputs 0.
    ///
    /// Fails if an option is out of its range or the vocabulary does not fit the device.
    pub fn new(gpu: &Gpu, corpus: Corpus, options: TrainOptions) -> Result<Trainer> {
        options.check()?;
        let mut random = Random::new(&[options.seed]);
        let scale = 1.0 / options.dimensions as f64;
        let n = corpus.words.len() * options.dimensions;
        let inputs: Vec<f32> = (0..n).map(|_| ((2.0 * random.unit() - 1.0) * scale) as f32).collect();
        Trainer::resume(gpu, corpus, options, &inputs, &vec![0.0; n], Position::default())
    }

    /// Goes on from vectors that were trained before. Shapes: `inputs, outputs: (n_words, dimensions)`.
    pub fn resume(
        gpu: &Gpu,
        corpus: Corpus,
        options: TrainOptions,
        inputs: &[f32],
        outputs: &[f32],
        position: Position,
    ) -> Result<Trainer> {
        options.check()?;
        let drawer = Drawer::new(&corpus, options.window, options.sample);
        let n_tiles = batch_tiles(gpu, &corpus, &options, &drawer);
        let shape =
            TileShape::choose(gpu.caps(), options.objective, options.dimensions, options.window, n_tiles);
        let n_words = corpus.words.len();
        let tiles = gpu.buffer("tiles", 4 * (BATCHES * shape.batch()) as u64)?;
        let losses = gpu.buffer("losses", 4 * (BATCHES * shape.n_tiles) as u64)?;
        let inputs =
            upload(gpu, "input vectors", inputs, &options, shape.pitch, n_words + shape.input_slots())?;
        let outputs =
            upload(gpu, "output vectors", outputs, &options, shape.pitch, n_words + shape.output_slots())?;
        let program = program(gpu, &shape, options.negative, [&tiles, &inputs, &outputs, &losses])?;
        Ok(Trainer {
            gpu: gpu.clone(),
            packer: Packer::new(shape, n_words),
            words: vec![0; BATCHES * shape.batch()],
            drawn: vec![Tile::default(); shape.n_tiles],
            waiting: VecDeque::new(),
            spare: Vec::new(),
            loss: (0.0, 0.0),
            options,
            corpus,
            drawer,
            shape,
            tiles,
            inputs,
            outputs,
            losses,
            program,
            position,
        })
    }

    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Words of the text that one batch has.
    pub fn batch_words(&self) -> usize {
        self.shape.n_tiles * self.shape.n_centres
    }

    fn n_pieces(&self) -> usize {
        self.corpus.ids.len().div_ceil(PIECE)
    }

    /// The share of all epochs that is done when `ids` of the piece at `position` are.
    fn fraction(&self, ids: f64) -> f64 {
        let n = self.corpus.ids.len() as f64;
        let done = self.position.epoch as f64 * n + (self.position.piece * PIECE) as f64 + ids;
        (done / (n * self.options.epochs as f64)).min(1.0)
    }

    fn rate(&self, fraction: f64) -> f64 {
        self.options.rate + (self.options.rate_min - self.options.rate) * fraction
    }

    /// Trains on the next piece of the text. Returns `None` once all epochs are done.
    pub fn step(&mut self) -> Result<Option<Progress>> {
        if self.position.epoch >= self.options.epochs {
            return Ok(None);
        }
        let first = self.position.piece * PIECE;
        let ids = first..(first + PIECE).min(self.corpus.ids.len());
        let n_ids = ids.len() as f64;
        let parts = [self.options.seed, 1 + self.position.epoch as u64, self.position.piece as u64];
        let mut random = Random::new(&parts);
        let piece = self.drawer.piece(&self.corpus.ids[ids], &mut random);
        let n_tiles = piece.n_tiles(&self.shape);
        let n_batches = n_tiles.div_ceil(self.shape.n_tiles);
        for group in (0..n_batches).step_by(BATCHES) {
            let here = group..(group + BATCHES).min(n_batches);
            let mut n_predictions = 0;
            for batch in here.clone() {
                // The tiles of a batch are as far apart as can be.
                let places = (batch..n_tiles).step_by(n_batches);
                let n_here = places.len();
                for (tile, place) in self.drawn.iter_mut().zip(places) {
                    let pairs = self.drawer.tile(&piece, place, &self.shape, &mut random, tile);
                    n_predictions += match self.options.objective {
                        Objective::SkipGram => pairs,
                        Objective::Cbow => {
                            tile.inputs.iter().fold(0, |near, (_, bits)| near | bits).count_ones()
                        }
                    };
                }
                let fraction = self.fraction(n_ids * batch as f64 / n_batches as f64);
                let rate = self.rate(fraction) as f32;
                let at = (batch - group) * self.shape.batch();
                self.packer.pack(&self.drawn[..n_here], rate, &mut self.words[at..at + self.shape.batch()]);
            }
            self.submit(here.len(), n_predictions)?;
        }
        self.position.piece += 1;
        if self.position.piece == self.n_pieces() {
            self.position = Position { epoch: self.position.epoch + 1, piece: 0 };
        }
        let (sum, n) = std::mem::take(&mut self.loss);
        Ok(Some(Progress { loss: if n > 0.0 { sum / n } else { f64::NAN }, ..self.progress() }))
    }

    /// How far training is, without a loss.
    pub fn progress(&self) -> Progress {
        let fraction = self.fraction(0.0);
        Progress { fraction, loss: f64::NAN, rate: self.rate(fraction) }
    }

    fn submit(&mut self, n_batches: usize, n_predictions: u32) -> Result<()> {
        while self.waiting.len() >= IN_FLIGHT {
            self.collect()?;
        }
        let words = &self.words[..n_batches * self.shape.batch()];
        self.gpu.write(&self.tiles, 0, bytemuck::cast_slice(words));
        let bytes = 4 * (BATCHES * self.shape.n_tiles) as u64;
        let mut readback = match self.spare.pop() {
            Some(readback) => readback,
            None => Readback::new(&self.gpu, bytes)?,
        };
        let mut submission = self.gpu.begin();
        submission.replay_steps(&self.program.plan.steps[..3 * n_batches], &Sizes::default());
        submission.read_back(&mut readback, &[(self.losses.clone(), 0, bytes)]);
        submission.submit_for(&mut readback)?;
        self.waiting.push_back((readback, n_batches * self.shape.n_tiles, n_predictions));
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        let Some((mut readback, n, n_predictions)) = self.waiting.pop_front() else { return Ok(()) };
        let bytes = readback.wait(&self.gpu)?;
        let losses = bytes[..4 * n].chunks_exact(4);
        self.loss.0 += losses.map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).sum::<f64>();
        self.loss.1 += f64::from(n_predictions);
        self.spare.push(readback);
        Ok(())
    }

    /// The vectors as they are now: what is wanted of the training.
    pub fn vectors(&self) -> Result<WordVectors> {
        Ok(WordVectors {
            words: self.corpus.words.clone(),
            dimensions: self.options.dimensions,
            values: self.rows(&self.inputs)?,
        })
    }

    /// The vectors of words as what is predicted, which going on needs. Shape: (n_words, dimensions).
    pub fn outputs(&self) -> Result<Vec<f32>> {
        self.rows(&self.outputs)
    }

    fn rows(&self, buffer: &Buffer) -> Result<Vec<f32>> {
        let (pitch, dimensions) = (self.shape.pitch, self.options.dimensions);
        let bytes = self.gpu.read(buffer, 0, 4 * (self.corpus.words.len() * pitch) as u64)?;
        let padded: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let mut values = Vec::with_capacity(self.corpus.words.len() * dimensions);
        padded.chunks_exact(pitch).for_each(|row| values.extend_from_slice(&row[..dimensions]));
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::Gpu(format!(
                "training diverged: the vector of {:?} has a number that is not finite; lower --rate or --batch",
                self.corpus.words[i / dimensions]
            )));
        }
        Ok(values)
    }
}

/// Tiles of a batch: many keep the device busy, but the changes of all tiles that use a row are added
/// up, and a row that most of them use would be pushed too far.
fn batch_tiles(gpu: &Gpu, corpus: &Corpus, options: &TrainOptions, drawer: &Drawer) -> usize {
    let shape = TileShape::choose(gpu.caps(), options.objective, options.dimensions, options.window, 1);
    if options.batch > 0 {
        return options.batch.div_ceil(shape.n_centres);
    }
    let most = if gpu.caps().software() { 128 } else { 512 };
    let (text, drawn) = drawer.commonest(&corpus.counts);
    // Uses of the commonest word's rows per tile.
    let inputs = text * shape.n_inputs_max() as f64;
    let outputs = text * shape.n_centres as f64 + drawn * shape.n_negatives as f64;
    ((USES_MAX / inputs.max(outputs)) as usize).clamp(1, most)
}

/// How often a batch may use the row of the commonest word.
const USES_MAX: f64 = 32.0;

/// Rows padded with zeros, and room behind them.
fn upload(
    gpu: &Gpu,
    label: &str,
    values: &[f32],
    options: &TrainOptions,
    pitch: usize,
    n_rows: usize,
) -> Result<Buffer> {
    let bytes = 4 * (n_rows * pitch) as u64;
    let limit = gpu.caps().binding_bytes_max.min(gpu.caps().buffer_bytes_max);
    if bytes > limit {
        let n_words = values.len() / options.dimensions;
        return Err(Error::OutOfMemory {
            need: bytes,
            have: Some(limit),
            advice: format!(
                "the vectors of {n_words} words lie in one buffer, of which this device binds no more; raise \
                 --min-count, lower --dim or, if it was given, --batch"
            ),
        });
    }
    let buffer = gpu.buffer(label, bytes)?;
    let mut padded = Vec::with_capacity(values.len() / options.dimensions * pitch);
    for row in values.chunks_exact(options.dimensions) {
        padded.extend_from_slice(row);
        padded.resize(padded.len().next_multiple_of(pitch), 0.0);
    }
    gpu.upload(&buffer, 0, bytemuck::cast_slice(&padded))?;
    Ok(buffer)
}

/// Three launches per batch: the tiles, then what they share.
fn program(gpu: &Gpu, shape: &TileShape, negative: usize, buffers: [&Buffer; 4]) -> Result<Program> {
    let mut g = Graph::new(gpu.caps());
    let mut external = |name, buffer: &Buffer, n_columns: usize, dtype| {
        let n_rows = buffer.len() as usize / 4 / n_columns;
        g.external(name, n_rows, n_columns, dtype, Binding::Device(buffer.whole()))
    };
    let training = Training {
        tiles: external("tiles", buffers[0], BATCHES * shape.batch(), Dtype::U32),
        inputs: external("inputs", buffers[1], shape.pitch, Dtype::F32),
        outputs: external("outputs", buffers[2], shape.pitch, Dtype::F32),
        losses: external("losses", buffers[3], BATCHES * shape.n_tiles, Dtype::F32),
    };
    for batch in 0..BATCHES {
        match shape.objective {
            Objective::SkipGram => skip_gram(&mut g, shape, &training, batch, negative)?,
            Objective::Cbow => cbow(&mut g, shape, &training, batch, negative)?,
        }
        let first = batch * shape.batch();
        merge_rows(&mut g, training.tiles, first + shape.input_segments(), training.inputs)?;
        merge_rows(&mut g, training.tiles, first + shape.output_segments(), training.outputs)?;
    }
    g.build(gpu, &mut Scratch::default())
}
