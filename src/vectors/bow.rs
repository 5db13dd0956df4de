//! Bag of words: texts as counts of their units, in no order.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Result};
use crate::text::{Encode, Tokenizer};

/// What is counted.
pub enum Units<'a> {
    /// Runs of letters and digits in lower case, and sequences of up to `n` of them.
    Words { n: usize },
    /// The tokens of a tokenizer.
    Tokens(&'a Tokenizer),
}

/// Documents as rows of counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Bow {
    /// The units in alphabetical order.
    pub vocabulary: Vec<String>,
    /// Per document: (unit, count), by rising unit.
    pub counts: Vec<Vec<(usize, u32)>>,
}

impl Bow {
    /// Counts the units of each document. Units in fewer than `min_documents` documents are left out.
    ///
    /// Fails if no unit is left.
    pub fn count(documents: &[String], units: &Units, min_documents: usize) -> Result<Bow> {
        let mut counted: Vec<HashMap<String, u32>> = Vec::with_capacity(documents.len());
        for document in documents {
            let mut counts = HashMap::new();
            for unit in units.of(document)? {
                *counts.entry(unit).or_insert(0) += 1;
            }
            counted.push(counts);
        }
        let mut in_documents: BTreeMap<&str, usize> = BTreeMap::new();
        for unit in counted.iter().flat_map(HashMap::keys) {
            *in_documents.entry(unit).or_insert(0) += 1;
        }
        let vocabulary: Vec<String> = in_documents
            .into_iter()
            .filter(|(_, n)| *n >= min_documents)
            .map(|(unit, _)| unit.to_owned())
            .collect();
        if vocabulary.is_empty() {
            return Err(Error::Input(format!(
                "{} documents have no unit that stands in {min_documents} of them",
                documents.len()
            )));
        }
        let place: HashMap<&str, usize> =
            vocabulary.iter().enumerate().map(|(i, unit)| (unit.as_str(), i)).collect();
        let counts = counted.iter().map(|counts| {
            let known = counts.iter().filter_map(|(unit, n)| Some((*place.get(unit.as_str())?, *n)));
            let mut row: Vec<(usize, u32)> = known.collect();
            row.sort_unstable();
            row
        });
        Ok(Bow { counts: counts.collect(), vocabulary })
    }

    /// Counts weighted by rarity and scaled to length 1: tf * (ln((1 + n) / (1 + df)) + 1), as
    /// scikit-learn's TfidfVectorizer has them by default.
    pub fn tf_idf(&self) -> Vec<Vec<(usize, f64)>> {
        let n = self.counts.len() as f64;
        let mut in_documents = vec![0.0f64; self.vocabulary.len()];
        for &(unit, _) in self.counts.iter().flatten() {
            in_documents[unit] += 1.0;
        }
        let weight = |unit: usize| ((1.0 + n) / (1.0 + in_documents[unit])).ln() + 1.0;
        let rows = self.counts.iter().map(|row| {
            let mut row: Vec<(usize, f64)> =
                row.iter().map(|&(unit, count)| (unit, f64::from(count) * weight(unit))).collect();
            let length = row.iter().map(|(_, v)| v * v).sum::<f64>().sqrt();
            row.iter_mut().for_each(|(_, v)| *v /= length.max(1e-300));
            row
        });
        rows.collect()
    }

    /// The counts as numbers.
    pub fn plain(&self) -> Vec<Vec<(usize, f64)>> {
        let row = |row: &Vec<(usize, u32)>| row.iter().map(|&(unit, n)| (unit, f64::from(n))).collect();
        self.counts.iter().map(row).collect()
    }
}

impl Units<'_> {
    fn of(&self, document: &str) -> Result<Vec<String>> {
        match self {
            Units::Words { n } => {
                let lower = document.to_lowercase();
                let words: Vec<&str> =
                    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
                let lengths = 1..=(*n).max(1);
                Ok(lengths
                    .flat_map(|n| words.windows(n).map(|words| words.join(" ")).collect::<Vec<_>>())
                    .collect())
            }
            Units::Tokens(tokenizer) => {
                let options = Encode { special: false, bos: Some(false), eos: Some(false) };
                let ids = tokenizer.encode(document, options)?;
                Ok(ids
                    .iter()
                    .map(|&id| String::from_utf8_lossy(&tokenizer.piece_bytes(id)).into_owned())
                    .collect())
            }
        }
    }
}

/// The cosine of the angle between two sparse rows; 0 where one is empty.
pub fn cosine(a: &[(usize, f64)], b: &[(usize, f64)]) -> f64 {
    let length = |row: &[(usize, f64)]| row.iter().map(|(_, v)| v * v).sum::<f64>().sqrt();
    let b_by_unit: HashMap<usize, f64> = b.iter().copied().collect();
    let dot: f64 = a.iter().map(|(unit, v)| v * b_by_unit.get(unit).unwrap_or(&0.0)).sum();
    let lengths = length(a) * length(b);
    if lengths > 0.0 { dot / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<String> {
        ["The cat chases the dog.", "The dog chases the cat.", "A bird sings"].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_order_of_words_does_not_count_but_that_of_pairs_does() {
        let bow = Bow::count(&documents(), &Units::Words { n: 1 }, 1).expect("words");
        assert_eq!(bow.vocabulary, ["a", "bird", "cat", "chases", "dog", "sings", "the"]);
        assert_eq!(bow.counts[0], [(2, 1), (3, 1), (4, 1), (6, 2)]);
        assert_eq!(bow.counts[0], bow.counts[1]);
        let plain = bow.plain();
        assert!((cosine(&plain[0], &plain[1]) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&plain[0], &plain[2]), 0.0);
        let pairs = Bow::count(&documents(), &Units::Words { n: 2 }, 1).expect("words");
        assert_ne!(pairs.counts[0], pairs.counts[1]);
    }

    #[test]
    fn rare_units_weigh_more() {
        let bow = Bow::count(&documents(), &Units::Words { n: 1 }, 1).expect("words");
        let rows = bow.tf_idf();
        let weight = |unit: &str| {
            let place = bow.vocabulary.iter().position(|v| v == unit).expect("known");
            rows.iter().flatten().find(|(i, _)| *i == place).expect("counted").1
        };
        // "bird" stands in one of three documents, "cat" in two; both once in theirs.
        assert!(weight("bird") > weight("cat"));
        assert!((rows[2].iter().map(|(_, v)| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(Bow::count(&documents(), &Units::Words { n: 1 }, 3).is_err());
    }
}
