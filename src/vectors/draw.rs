//! What a training step is drawn from: words that stay, windows, negatives.
//!
//! Every piece of the text has random numbers of its own, so that training can be stopped between two
//! pieces and go on as if it had not been.

use super::corpus::{Corpus, SENTENCE_END};
use crate::kernels::tiles::{Tile, TileShape};

/// Sentences are cut after this many words, as gensim does.
const SENTENCE_MAX: usize = 10_000;

/// Random numbers, the same for the same seed (SplitMix64, Steele et al. 2014).
pub struct Random(u64);

impl Random {
    /// The numbers that belong to `parts`: a seed, an epoch, a piece.
    pub fn new(parts: &[u64]) -> Random {
        let mut random = Random(0x6a09_e667_f3bc_c908);
        for &part in parts {
            random.0 ^= part;
            random.0 = random.next();
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..n.
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws words by weight in constant time (the alias method: Walker 1977, Vose 1991).
struct Alias {
    /// Per column: the share that is the column's own word, as a fraction of 2^32, and the other word.
    columns: Vec<(u32, u32)>,
}

impl Alias {
    fn new(weights: &[f64]) -> Alias {
        let n = weights.len();
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|w| w / total * n as f64).collect();
        let mut columns: Vec<(u32, u32)> = (0..n as u32).map(|i| (u32::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| shares[i] < 1.0);
        while let (Some(&i), Some(&j)) = (small.last(), large.last()) {
            small.pop();
            columns[i] = ((shares[i] * 4_294_967_296.0) as u32, j as u32);
            shares[j] -= 1.0 - shares[i];
            if shares[j] < 1.0 {
                large.pop();
                small.push(j);
            }
        }
        Alias { columns }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.next();
        let column = ((bits >> 32) * self.columns.len() as u64) >> 32;
        let (share, other) = self.columns[column as usize];
        if (bits as u32) < share { column as u32 } else { other }
    }
}

/// Draws tiles from a corpus.
pub struct Drawer {
    /// Per word: the probability that an occurrence stays.
    keep: Vec<f64>,
    negatives: Alias,
    window: u32,
}

/// The words of a piece that stayed, and the sentence that each belongs to.
#[derive(Default)]
pub struct Piece {
    words: Vec<u32>,
    /// First and last place of each word's sentence.
    sentences: Vec<(u32, u32)>,
}

impl Piece {
    pub fn n_tiles(&self, shape: &TileShape) -> usize {
        self.words.len().div_ceil(shape.n_centres)
    }
}

impl Drawer {
    /// `sample`: the share of the text above which words are thinned out; 0 keeps all. Negatives are
    /// drawn by count^0.75.
    pub fn new(corpus: &Corpus, window: usize, sample: f64) -> Drawer {
        let total: u64 = corpus.counts.iter().sum();
        let threshold = sample * total as f64;
        let keep = corpus.counts.iter().map(|&count| match sample > 0.0 {
            // word2vec.c's formula, which is not the paper's.
            true => ((count as f64 / threshold).sqrt() + 1.0) * threshold / count as f64,
            false => 1.0,
        });
        let weights: Vec<f64> = corpus.counts.iter().map(|&count| (count as f64).powf(0.75)).collect();
        Drawer { keep: keep.collect(), negatives: Alias::new(&weights), window: window as u32 }
    }

    /// The largest share of the words that one word has after thinning out, and of the negatives.
    pub fn commonest(&self, counts: &[u64]) -> (f64, f64) {
        let kept = counts.iter().zip(&self.keep).map(|(&count, keep)| count as f64 * keep.min(1.0));
        let weights = counts.iter().map(|&count| (count as f64).powf(0.75));
        let share = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, most) = values.fold((0.0, 0.0f64), |(sum, most), v| (sum + v, most.max(v)));
            most / sum
        };
        (share(&mut { kept }), share(&mut { weights }))
    }

    /// Thins out `ids`.
    pub fn piece(&self, ids: &[u32], random: &mut Random) -> Piece {
        let mut piece = Piece::default();
        let mut first = 0;
        let end_sentence = |piece: &mut Piece, first: &mut usize| {
            let last = piece.words.len().saturating_sub(1) as u32;
            piece.sentences.resize(piece.words.len(), (*first as u32, last));
            *first = piece.words.len();
        };
        for &id in ids {
            if id == SENTENCE_END || piece.words.len() - first >= SENTENCE_MAX {
                end_sentence(&mut piece, &mut first);
            }
            if id != SENTENCE_END && (self.keep[id as usize] >= 1.0 || random.unit() < self.keep[id as usize])
            {
                piece.words.push(id);
            }
        }
        end_sentence(&mut piece, &mut first);
        piece
    }

    /// Draws windows and negatives for tile `i` of `piece`. Returns the pairs of a centre and an input.
    pub fn tile(
        &self,
        piece: &Piece,
        i: usize,
        shape: &TileShape,
        random: &mut Random,
        tile: &mut Tile,
    ) -> u32 {
        let first = i * shape.n_centres;
        let end = (first + shape.n_centres).min(piece.words.len());
        let base = first.saturating_sub(shape.window);
        tile.centres.clear();
        tile.centres.extend_from_slice(&piece.words[first..end]);
        let mut near = [0u32; 8 + 2 * WINDOW_MAX];
        let mut n_pairs = 0;
        for p in first..end {
            let reach = 1 + random.below(self.window) as usize;
            let (from, to) = piece.sentences[p];
            let (from, to) = (p.saturating_sub(reach).max(from as usize), (p + reach).min(to as usize));
            near[from - base..=to - base].iter_mut().for_each(|bits| *bits |= 1 << (p - first));
            near[p - base] &= !(1 << (p - first));
            n_pairs += (to - from) as u32;
        }
        tile.inputs.clear();
        let reached = piece.words[base..].iter().zip(&near[..shape.n_inputs_max()]);
        tile.inputs.extend(reached.filter(|(_, bits)| **bits != 0).map(|(word, bits)| (*word, *bits)));
        tile.negatives.clear();
        tile.negatives.extend((0..shape.n_negatives).map(|_| self.negatives.draw(random)));
        n_pairs
    }
}

/// The widest window.
pub const WINDOW_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tiles::Objective;

    fn corpus(ids: Vec<u32>, counts: Vec<u64>) -> Corpus {
        let words = (0..counts.len()).map(|i| format!("w{i}")).collect();
        Corpus { words, n_words: counts.iter().sum(), counts, ids }
    }

    #[test]
    fn negatives_follow_the_counts_to_three_quarters() {
        let counts = vec![10_000, 1_000, 100, 1];
        let drawer = Drawer::new(&corpus(Vec::new(), counts.clone()), 5, 0.0);
        let mut random = Random::new(&[1]);
        let mut drawn = [0u32; 4];
        let n = 200_000;
        (0..n).for_each(|_| drawn[drawer.negatives.draw(&mut random) as usize] += 1);
        let total: f64 = counts.iter().map(|&c| (c as f64).powf(0.75)).sum();
        for (&count, &drawn) in counts.iter().zip(&drawn) {
            let expected = (count as f64).powf(0.75) / total * f64::from(n);
            let deviation = (f64::from(drawn) - expected) / expected.sqrt();
            assert!(deviation.abs() < 5.0, "word of count {count}: {drawn} drawn, expected {expected}");
        }
    }

    #[test]
    fn windows_stay_in_their_sentence_and_skip_the_centre() {
        let ids = vec![0, 1, 2, SENTENCE_END, 3, 4, SENTENCE_END, 5];
        let drawer = Drawer::new(&corpus(ids.clone(), vec![1; 6]), 2, 0.0);
        let shape = TileShape {
            objective: Objective::SkipGram,
            n_centres: 4,
            n_negatives: 4,
            window: 2,
            n_tiles: 2,
            clusters: 1,
            pitch: 8,
        };
        let mut random = Random::new(&[7]);
        let piece = drawer.piece(&ids, &mut random);
        let mut far_pairs = 0;
        for round in 0..50 {
            let mut pairs = Vec::new();
            let mut n_pairs = 0;
            for i in 0..piece.n_tiles(&shape) {
                let mut tile = Tile::default();
                n_pairs += drawer.tile(&piece, i, &shape, &mut random, &mut tile);
                assert_eq!(tile.negatives.len(), 4);
                for (word, near) in tile.inputs {
                    let centres = tile.centres.iter().enumerate().filter(|(c, _)| near >> c & 1 == 1);
                    pairs.extend(centres.map(|(_, &centre)| (word, centre)));
                }
            }
            assert_eq!(pairs.len() as u32, n_pairs, "round {round}");
            // Neighbours always meet; words of other sentences never do.
            for pair in [(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)] {
                assert_eq!(pairs.iter().filter(|p| **p == pair).count(), 1, "{pair:?}");
            }
            far_pairs += pairs.iter().filter(|p| **p == (0, 2) || **p == (2, 0)).count();
            assert!(pairs.iter().all(|&(a, b)| a != b && (a < 3) == (b < 3) && a != 5 && b != 5));
        }
        // Two apart they meet when the reach is 2: half of the time.
        assert!((30..70).contains(&far_pairs), "{far_pairs} of 100");
    }

    #[test]
    fn common_words_are_thinned_out() {
        let ids: Vec<u32> = (0..40_000).map(|i| u32::from(i % 100 == 0)).collect();
        let drawer = Drawer::new(&corpus(ids.clone(), vec![39_600, 400]), 2, 0.01);
        let piece = drawer.piece(&ids, &mut Random::new(&[3]));
        // (sqrt(99) + 1) / 99 of the common word stay, all of the rare one.
        let common = piece.words.iter().filter(|&&word| word == 0).count() as f64;
        assert!((common / 39_600.0 - (99f64.sqrt() + 1.0) / 99.0).abs() < 0.01, "{common}");
        assert_eq!(piece.words.len() - common as usize, 400);
    }
}
