//! Runs of words that stand word for word in other texts.
//!
//! Words are runs of letters and digits, compared in lower case, so that line ends and punctuation do not
//! hide a copy. Every run of n words of the text has a rolling hash; one walk over each other text looks
//! its own runs up among them and follows those that are found.

use std::collections::HashMap;

use rayon::prelude::*;

/// A run that two texts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first word, by place in the text.
    pub start: usize,
    pub n_words: usize,
    /// Bytes of the text.
    pub from: usize,
    pub to: usize,
    /// The other text, by place in the list, and the byte of it.
    pub file: usize,
    pub place: usize,
}

/// A text whose runs are looked for.
pub struct Overlap {
    words: Vec<Word>,
    n: usize,
    /// Where runs of n words begin, by their hash.
    starts: HashMap<u64, Vec<u32>>,
    /// One bit for each hash's first bits: most of other texts' runs end here.
    filter: Vec<u64>,
    /// The longest run from each word on.
    best: Vec<Option<Run>>,
}

#[derive(Debug, Clone, Copy)]
struct Word {
    from: usize,
    to: usize,
    hash: u64,
}

/// Bytes of a text that one task walks over.
const PIECE: usize = 4 << 20;
/// Places of one run in the text that are followed: a text that says the same again and again has many.
const STARTS_MAX: usize = 64;
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const FILTER_BITS: u32 = 20;

impl Overlap {
    /// Looks for runs of at least `n` words of `text`.
    pub fn new(text: &str, n: usize) -> Overlap {
        let n = n.max(1);
        let words: Vec<Word> = Words::new(text, 0).collect();
        let mut starts: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
        for (i, run) in words.windows(n).enumerate() {
            let hash = run.iter().fold(0u64, |sum, word| sum.wrapping_mul(BASE).wrapping_add(word.hash));
            let list = starts.entry(hash).or_default();
            if list.len() < STARTS_MAX {
                list.push(i as u32);
            }
            let bit = (hash >> (64 - FILTER_BITS)) as usize;
            filter[bit / 64] |= 1 << (bit % 64);
        }
        let best = vec![None; words.len()];
        Overlap { words, n, starts, filter, best }
    }

    pub fn n_words(&self) -> usize {
        self.words.len()
    }

    /// Looks in another text, the `file`-th. `each` hears of the bytes done, from any thread.
    pub fn look_in(&mut self, file: usize, text: &str, each: impl Fn(usize) + Sync) {
        let mut borders = vec![0];
        while let Some(next) = borders.last().map(|at| at + PIECE).filter(|&at| at < text.len()) {
            // A border never cuts a word.
            let inside =
                |at: &usize| !text.is_char_boundary(*at) || text[*at..].starts_with(char::is_alphanumeric);
            borders.push((next..text.len()).find(|at| !inside(at)).unwrap_or(text.len()));
        }
        borders.push(text.len());
        let found: Vec<HashMap<u32, (usize, usize)>> = borders
            .par_windows(2)
            .map(|piece| {
                let found = self.walk(text, piece[0], piece[1]);
                each(piece[1] - piece[0]);
                found
            })
            .collect();
        for (start, (n_words, place)) in found.into_iter().flatten() {
            let start = start as usize;
            if self.best[start].is_none_or(|run| {
                run.n_words < n_words || (run.n_words == n_words && run.file == file && run.place > place)
            }) {
                let (from, to) = (self.words[start].from, self.words[start + n_words - 1].to);
                self.best[start] = Some(Run { start, n_words, from, to, file, place });
            }
        }
    }

    /// The longest run from each word of ours (words, place) that begins in `from..end` of a text.
    fn walk(&self, text: &str, from: usize, end: usize) -> HashMap<u32, (usize, usize)> {
        let n = self.n;
        let mut found: HashMap<u32, (usize, usize)> = HashMap::new();
        // The last n words: their hashes and where they begin; BASE^(n - 1) takes the oldest out again.
        let mut ring = vec![(0u64, 0usize); n];
        let power = (1..n).fold(1u64, |power, _| power.wrapping_mul(BASE));
        let mut hash = 0u64;
        // Runs that are being followed, by their distance from ours: the word at which they end.
        let mut followed: HashMap<i64, usize> = HashMap::new();
        for (i, word) in Words::new(text, from).enumerate() {
            hash = hash.wrapping_sub(ring[i % n].0.wrapping_mul(power));
            hash = hash.wrapping_mul(BASE).wrapping_add(word.hash);
            ring[i % n] = (word.hash, word.from);
            if i + 1 < n {
                continue;
            }
            let (first, place) = (i + 1 - n, ring[(i + 1) % n].1);
            if place >= end {
                break;
            }
            let bit = (hash >> (64 - FILTER_BITS)) as usize;
            if self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
            for &start in self.starts.get(&hash).map_or(&[][..], |list| list) {
                let distance = i64::from(start) - first as i64;
                if followed.get(&distance).is_some_and(|&until| first < until) {
                    continue;
                }
                let own = &self.words[start as usize..];
                let same = own.iter().zip(Words::new(text, place)).take_while(|(a, b)| a.hash == b.hash);
                let n_words = same.count();
                if n_words < n {
                    continue;
                }
                followed.insert(distance, first + n_words);
                let best = found.entry(start).or_insert((n_words, place));
                if best.0 < n_words {
                    *best = (n_words, place);
                }
            }
        }
        found
    }

    /// The runs that stand in no longer one, the longest first.
    pub fn runs(&self) -> Vec<Run> {
        let mut end = 0;
        let mut runs: Vec<Run> = Vec::new();
        for run in self.best.iter().flatten() {
            if run.start + run.n_words > end {
                end = run.start + run.n_words;
                runs.push(*run);
            }
        }
        runs.sort_by_key(|run| (std::cmp::Reverse(run.n_words), run.start));
        runs
    }

    /// Words of the text that are part of a run.
    pub fn n_covered(&self) -> usize {
        let mut covered = vec![false; self.words.len()];
        for run in self.best.iter().flatten() {
            covered[run.start..run.start + run.n_words].fill(true);
        }
        covered.into_iter().filter(|&c| c).count()
    }
}

/// The words of a text from a byte on.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Words<'_> {
    fn new(text: &str, at: usize) -> Words<'_> {
        Words { text, at }
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let bytes = self.text.as_bytes();
        let mut from = None;
        // FNV-1a over the letters in lower case, then mixed, since sums of products follow.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |letter: u32| hash = (hash ^ u64::from(letter)).wrapping_mul(0x0100_0000_01b3);
        loop {
            let at = self.at;
            let is_word = match bytes.get(at) {
                None => false,
                Some(byte) if byte.is_ascii() => {
                    self.at += 1;
                    if byte.is_ascii_alphanumeric() {
                        add(u32::from(byte.to_ascii_lowercase()));
                    }
                    byte.is_ascii_alphanumeric()
                }
                Some(_) => {
                    let letter = self.text[at..].chars().next().unwrap_or(' ');
                    self.at += letter.len_utf8();
                    if letter.is_alphanumeric() {
                        letter.to_lowercase().for_each(|c| add(c as u32));
                    }
                    letter.is_alphanumeric()
                }
            };
            match (is_word, from) {
                (true, None) => from = Some(at),
                (false, Some(from)) => {
                    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
                    return Some(Word { from, to: at, hash: hash ^ hash >> 32 });
                }
                (false, None) if at >= bytes.len() => return None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(text: &str, others: &[&str], n: usize) -> (Vec<Run>, usize) {
        let mut overlap = Overlap::new(text, n);
        for (i, other) in others.iter().enumerate() {
            overlap.look_in(i, other, |_| {});
        }
        (overlap.runs(), overlap.n_covered())
    }

    #[test]
    fn words_have_their_places() {
        let text = "To be,\nor ÉTÉ9";
        let found: Vec<&str> = Words::new(text, 0).map(|w| &text[w.from..w.to]).collect();
        assert_eq!(found, ["To", "be", "or", "ÉTÉ9"]);
        let same = |a: &str, b: &str| Words::new(a, 0).map(|w| w.hash).eq(Words::new(b, 0).map(|w| w.hash));
        assert!(same("to BE or été9", text) && !same("to be or ete9", text));
    }

    #[test]
    fn the_longest_run_is_found_across_punctuation_and_case() {
        let text = "He said: to be or not to be, that is the question; then he left.";
        let other = "Hamlet.\nTo be, or not to be - that is the question:\nWhether 'tis nobler";
        let (runs, covered) = search(text, &["nothing here", other], 3);
        assert_eq!(runs.len(), 1);
        let run = runs[0];
        assert_eq!((run.start, run.n_words, run.file, run.place, covered), (2, 10, 1, 8, 10));
        assert_eq!(&text[run.from..run.to], "to be or not to be, that is the question");
        assert_eq!(search(text, &[other], 11).0, []);
    }

    #[test]
    fn runs_across_pieces_and_repetitions_are_found() {
        // A run that straddles the border of two pieces.
        let quote = "every one of these words stands in this order only once";
        let mut other = "lorem ipsum dolor ".repeat(PIECE / 18 - 1);
        other.truncate(PIECE - 20);
        let place = other.len() + 1;
        other = format!("{other} {quote} and on {}", "sit amet ".repeat(1000));
        let (runs, _) = search(&format!("See: {quote}."), &[&other], 5);
        assert_eq!((runs[0].n_words, runs[0].place, runs[0].start), (11, place, 1));
        // The same word again and again must not take for ever.
        let same = "la ".repeat(20_000);
        assert_eq!(search(&same, &[&same], 5).0[0].n_words, 20_000);
    }
}
