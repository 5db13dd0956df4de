//! Texts as lists of words: what word vectors are trained on.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};

/// How a text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Runs of letters and digits in lower case.
    Words,
    /// What stands between white space, as it is: for texts that are cut already.
    Spaces,
}

/// Where a sentence ends. Windows do not reach across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentences {
    Lines,
    /// At empty lines: for prose with line breaks inside sentences.
    Paragraphs,
}

/// Stands for the end of a sentence in [`Corpus::ids`].
pub const SENTENCE_END: u32 = u32::MAX;

/// Texts as numbers of words.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// The commonest first; words with equal counts in alphabetical order.
    pub words: Vec<String>,
    pub counts: Vec<u64>,
    /// Words of the vocabulary in the order of the text, and [`SENTENCE_END`].
    pub ids: Vec<u32>,
    /// Words of the text, those outside of the vocabulary included.
    pub n_words: u64,
}

impl Corpus {
    /// Identifies a text, to see that training goes on with the one it began with (FNV-1a).
    pub fn fingerprint(&self) -> u64 {
        let step = |hash: u64, value: u64| (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
        let start = step(0xcbf2_9ce4_8422_2325, self.ids.len() as u64);
        let hash = self.ids.iter().fold(start, |hash, &id| step(hash, u64::from(id)));
        let letters = self.words.iter().flat_map(|word| word.bytes().chain([b'\n']));
        letters.fold(hash, |hash, byte| step(hash, u64::from(byte)))
    }

    /// Whether two words stand next to each other, without which nothing can be learnt.
    pub fn has_pairs(&self) -> bool {
        self.ids.windows(2).any(|pair| !pair.contains(&SENTENCE_END))
    }
}

/// Reads texts; [`CorpusReader::finish`] gives the corpus.
pub struct CorpusReader {
    split: Split,
    sentences: Sentences,
    places: HashMap<String, u32>,
    counts: Vec<u64>,
    /// By the order of first appearance.
    ids: Vec<u32>,
    lower: String,
}

impl CorpusReader {
    pub fn new(split: Split, sentences: Sentences) -> CorpusReader {
        let (places, counts, ids) = (HashMap::new(), Vec::new(), Vec::new());
        CorpusReader { split, sentences, places, counts, ids, lower: String::new() }
    }

    /// Adds a file.
    ///
    /// Fails if it cannot be read or is not UTF-8.
    pub fn read(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let message = format!("is not UTF-8 text: byte {}; convert it first", error.valid_up_to());
            Error::file(path.display(), message)
        })?;
        self.add(text);
        Ok(())
    }

    /// Adds a text, which ends a sentence.
    pub fn add(&mut self, text: &str) {
        for line in text.lines() {
            match self.split {
                Split::Spaces => line.split_whitespace().for_each(|word| self.word(word)),
                Split::Words => {
                    let mut lower = std::mem::take(&mut self.lower);
                    lower.clear();
                    lower.extend(line.chars().flat_map(char::to_lowercase));
                    lower
                        .split(|c: char| !c.is_alphanumeric())
                        .filter(|word| !word.is_empty())
                        .for_each(|word| self.word(word));
                    self.lower = lower;
                }
            }
            if self.sentences == Sentences::Lines || line.trim().is_empty() {
                self.end_sentence();
            }
        }
        self.end_sentence();
    }

    fn word(&mut self, word: &str) {
        let id = match self.places.get(word) {
            Some(&id) => id,
            None => {
                let id = self.counts.len() as u32;
                self.places.insert(word.to_owned(), id);
                self.counts.push(0);
                id
            }
        };
        self.counts[id as usize] += 1;
        self.ids.push(id);
    }

    fn end_sentence(&mut self) {
        if self.ids.last().is_some_and(|&last| last != SENTENCE_END) {
            self.ids.push(SENTENCE_END);
        }
    }

    /// Leaves out words that are rarer than `min_count` and numbers the others by how common they are.
    ///
    /// Fails if fewer than two words are left.
    pub fn finish(self, min_count: u64) -> Result<Corpus> {
        let n_words: u64 = self.counts.iter().sum();
        if n_words == 0 {
            return Err(Error::Input("the texts have no words; expected some text to train on".into()));
        }
        let n_distinct = self.counts.len();
        let mut kept: Vec<(String, u32)> =
            self.places.into_iter().filter(|(_, id)| self.counts[*id as usize] >= min_count).collect();
        let count = |id: u32| self.counts[id as usize];
        kept.sort_by(|(a, i), (b, j)| count(*j).cmp(&count(*i)).then_with(|| a.cmp(b)));
        if kept.len() < 2 {
            return Err(Error::Input(format!(
                "{} of {n_distinct} different words stand in the texts {min_count} times or more, training needs 2; \
                 lower --min-count or give more text",
                kept.len()
            )));
        }
        let mut new_ids = vec![None; n_distinct];
        for (new, (_, old)) in kept.iter().enumerate() {
            new_ids[*old as usize] = Some(new as u32);
        }
        let renumber = |id: u32| if id == SENTENCE_END { Some(id) } else { new_ids[id as usize] };
        let mut ids: Vec<u32> = self.ids.into_iter().filter_map(renumber).collect();
        ids.dedup_by(|a, b| *a == SENTENCE_END && *b == SENTENCE_END);
        let counts = kept.iter().map(|(_, id)| count(*id)).collect();
        Ok(Corpus { words: kept.into_iter().map(|(word, _)| word).collect(), counts, ids, n_words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_numbered_by_how_common_they_are() {
        let mut reader = CorpusReader::new(Split::Words, Sentences::Lines);
        reader.add("The cat, the dog.\n\nA cat!\nrare");
        let corpus = reader.finish(2).expect("words");
        assert_eq!(corpus.words, ["cat", "the"]);
        assert_eq!(corpus.counts, [2, 2]);
        assert_eq!(corpus.ids, [1, 0, 1, SENTENCE_END, 0, SENTENCE_END]);
        assert_eq!(corpus.n_words, 7);
    }

    #[test]
    fn paragraphs_join_lines_and_spaces_keep_case() {
        let mut reader = CorpusReader::new(Split::Spaces, Sentences::Paragraphs);
        reader.add("To be\nor not\n\nto be");
        let corpus = reader.finish(1).expect("words");
        assert_eq!(corpus.words, ["be", "To", "not", "or", "to"]);
        assert_eq!(corpus.ids, [1, 0, 3, 2, SENTENCE_END, 4, 0, SENTENCE_END]);
    }

    #[test]
    fn too_few_words_are_refused() {
        let finish = |text: &str, min_count| {
            let mut reader = CorpusReader::new(Split::Words, Sentences::Lines);
            reader.add(text);
            reader.finish(min_count).expect_err("too few words").to_string()
        };
        assert!(finish("", 1).contains("no words"));
        assert!(finish("one one one", 1).contains("1 of 1 different words"));
        assert!(finish("a b c", 2).contains("lower --min-count"));
    }
}
