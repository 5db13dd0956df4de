//! Tiles of text, as `skip_gram` and `cbow` read them: which rows each reads and which it writes.
//!
//! A row that one tile of a launch uses is updated in place. A row that several use (or one several
//! times) is read by all; each writes its copy to a slot behind the words, and `merge_rows` adds the
//! changes up. So no two clusters write one row, and the sums have a fixed order: the same on every run.
//!
//! ```text
//! batch    | n_tiles records | segments of inputs | segments of outputs |
//! record   | n_inputs, rate, shares (CBOW) | outputs: 3 words each | inputs: 3 words each |
//! entry    | row to read | row to write | centres as bits |
//! segments | n | n times: row, first slot, number of slots |
//! ```

use crate::gpu::Caps;

/// What predicts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Objective {
    /// Each word near a centre predicts the centre.
    SkipGram,
    /// The mean of the words near a centre predicts the centre.
    Cbow,
}

/// The sizes of tiles and batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileShape {
    pub objective: Objective,
    /// At most 8 for skip-gram, 8 for CBOW.
    pub n_centres: usize,
    /// For skip-gram, with the centres a multiple of 8.
    pub n_negatives: usize,
    /// Words of text on either side of a centre at most.
    pub window: usize,
    /// Tiles of a batch.
    pub n_tiles: usize,
    /// Tiles of a workgroup.
    pub clusters: usize,
    /// Elements from one row to the next, a multiple of 8.
    pub pitch: usize,
}

/// The vector length that rows are padded to.
pub fn row_pitch(dimensions: usize) -> usize {
    dimensions.next_multiple_of(8)
}

impl TileShape {
    /// The shape for a kind of device. A software driver keeps rows that do not fit its registers in the
    /// first cache, a GPU must not; both read fewer rows the larger a tile is.
    pub fn choose(
        caps: &Caps,
        objective: Objective,
        dimensions: usize,
        window: usize,
        n_tiles: usize,
    ) -> TileShape {
        let pitch = row_pitch(dimensions);
        let (n_centres, n_negatives) = match (objective, caps.software() && pitch <= 256) {
            (Objective::Cbow, _) => (8, 8),
            (Objective::SkipGram, true) => (8, 8),
            (Objective::SkipGram, false) => (4, 4),
        };
        // Clusters that exchange through workgroup memory wait for each other.
        let clusters = if caps.software() || !caps.clusters() { 1 } else { 4 };
        TileShape { objective, n_centres, n_negatives, window, n_tiles, clusters, pitch }
    }

    pub fn n_outputs(&self) -> usize {
        self.n_centres + self.n_negatives
    }

    pub fn n_inputs_max(&self) -> usize {
        self.n_centres + 2 * self.window
    }

    /// Words of a record before its first output.
    pub fn first_output(&self) -> usize {
        match self.objective {
            Objective::SkipGram => 2,
            Objective::Cbow => 2 + self.n_centres,
        }
    }

    pub fn first_input(&self) -> usize {
        self.first_output() + 3 * self.n_outputs()
    }

    /// Words of a record.
    pub fn record(&self) -> usize {
        self.first_input() + 3 * self.n_inputs_max()
    }

    /// Slots behind the words of the inputs, at most.
    pub fn input_slots(&self) -> usize {
        self.n_tiles * self.n_inputs_max()
    }

    pub fn output_slots(&self) -> usize {
        self.n_tiles * self.n_outputs()
    }

    /// Words of a batch before the segments of the inputs.
    pub fn input_segments(&self) -> usize {
        self.n_tiles * self.record()
    }

    pub fn output_segments(&self) -> usize {
        // A segment has at least 2 slots.
        self.input_segments() + 1 + 3 * (self.input_slots() / 2)
    }

    /// Words of a batch.
    pub fn batch(&self) -> usize {
        self.output_segments() + 1 + 3 * (self.output_slots() / 2)
    }
}

/// A tile before its rows have places.
#[derive(Debug, Clone, Default)]
pub struct Tile {
    /// At most `n_centres`.
    pub centres: Vec<u32>,
    /// `n_negatives`.
    pub negatives: Vec<u32>,
    /// (word, the centres it is near as bits), at most `n_inputs_max`.
    pub inputs: Vec<(u32, u32)>,
}

/// Lays out batches, one after another.
pub struct Packer {
    shape: TileShape,
    inputs: Uses,
    outputs: Uses,
}

/// How often each word's row is used in a batch, and which slots its copies get.
struct Uses {
    /// Per word: uses, then the next of its slots.
    counts: Vec<u32>,
    words: Vec<u32>,
    n_rows: u32,
}

impl Packer {
    pub fn new(shape: TileShape, n_words: usize) -> Packer {
        let uses = || Uses { counts: vec![0; n_words], words: Vec::new(), n_rows: n_words as u32 };
        Packer { shape, inputs: uses(), outputs: uses() }
    }

    /// Writes `tiles`, at most `n_tiles`, as a batch into `out`, whose length is the shape's `batch`.
    /// Tiles that are lacking are empty.
    pub fn pack(&mut self, tiles: &[Tile], rate: f32, out: &mut [u32]) {
        let shape = self.shape;
        let empty = Tile::default();
        let record = shape.record();
        for (i, words) in out[..shape.input_segments()].chunks_exact_mut(record).enumerate() {
            write_record(&shape, tiles.get(i).unwrap_or(&empty), rate, words);
        }
        // All clusters of a workgroup take as many turns as the one with most inputs.
        for group in out[..shape.input_segments()].chunks_mut(record * shape.clusters) {
            let most = group.chunks_exact(record).map(|words| words[0]).max().unwrap_or(0);
            group.chunks_exact_mut(record).for_each(|words| words[0] = most);
        }
        let (first_output, first_input) = (shape.first_output(), shape.first_input());
        for words in out[..shape.input_segments()].chunks_exact(record) {
            self.outputs.count(&words[first_output..first_input]);
            self.inputs.count(&words[first_input..first_input + 3 * words[0] as usize]);
        }
        let (records, segments) = out.split_at_mut(shape.input_segments());
        let (of_inputs, of_outputs) = segments.split_at_mut(shape.output_segments() - shape.input_segments());
        self.inputs.assign(of_inputs);
        self.outputs.assign(of_outputs);
        for words in records.chunks_exact_mut(record) {
            let end = first_input + 3 * words[0] as usize;
            self.outputs.place(&mut words[first_output..first_input]);
            self.inputs.place(&mut words[first_input..end]);
        }
        self.inputs.clear();
        self.outputs.clear();
    }
}

fn write_record(shape: &TileShape, tile: &Tile, rate: f32, words: &mut [u32]) {
    words.fill(0);
    words[0] = tile.inputs.len() as u32;
    words[1] = rate.to_bits();
    if shape.objective == Objective::Cbow {
        for c in 0..shape.n_centres {
            let n = tile.inputs.iter().filter(|(_, near)| near >> c & 1 == 1).count();
            words[2 + c] = if n == 0 { 0 } else { (1.0 / n as f32).to_bits() };
        }
    }
    let (outputs, inputs) = words[shape.first_output()..].split_at_mut(3 * shape.n_outputs());
    let centres = outputs.chunks_exact_mut(3).zip(tile.centres.iter());
    centres.for_each(|(entry, &word)| entry[0] = word);
    let negatives = outputs[3 * shape.n_centres..].chunks_exact_mut(3).zip(tile.negatives.iter());
    for (entry, &word) in negatives {
        entry[0] = word;
        let equal = tile.centres.iter().enumerate().map(|(c, &centre)| u32::from(centre == word) << c);
        entry[2] = equal.sum();
    }
    for (entry, &(word, near)) in inputs.chunks_exact_mut(3).zip(&tile.inputs) {
        entry[0] = word;
        entry[2] = near;
    }
}

impl Uses {
    fn count(&mut self, entries: &[u32]) {
        for entry in entries.chunks_exact(3) {
            let count = &mut self.counts[entry[0] as usize];
            if *count == 0 {
                self.words.push(entry[0]);
            }
            *count += 1;
        }
    }

    /// Gives slots to the words with several uses, and turns their counts into the next slot.
    fn assign(&mut self, segments: &mut [u32]) {
        let (mut slot, mut n) = (self.n_rows, 0);
        for &word in &self.words {
            let count = &mut self.counts[word as usize];
            if *count > 1 {
                segments[1 + 3 * n..4 + 3 * n].copy_from_slice(&[word, slot, *count]);
                n += 1;
                slot += *count;
                *count = slot - *count;
            }
        }
        segments[0] = n as u32;
    }

    fn place(&mut self, entries: &mut [u32]) {
        for entry in entries.chunks_exact_mut(3) {
            let next = &mut self.counts[entry[0] as usize];
            // Slots lie behind the words, of which there are two at least; one use left a count of 1.
            if *next >= self.n_rows {
                entry[1] = *next;
                *next += 1;
            } else {
                entry[1] = entry[0];
            }
        }
    }

    fn clear(&mut self) {
        for word in self.words.drain(..) {
            self.counts[word as usize] = 0;
        }
    }
}
