//! How well word vectors do on files of analogies and of judged pairs, counted as gensim 4 counts.

use std::collections::HashMap;

use super::stats::{Correlation, pearson, spearman};
use super::table::VectorTable;
use crate::error::{Error, Result};

/// What counts as known, and what becomes of the rest. The defaults are gensim's.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// Only this many words, from the first on, are known and searched.
    pub restrict_vocab: usize,
    /// Words are compared in upper case; of several that become equal the first counts.
    pub ignore_case: bool,
    /// Questions with unknown words count as wrong, pairs with them as similar by 0; else they are skipped.
    pub unknown_is_wrong: bool,
    /// Between the fields of a line of pairs.
    pub delimiter: String,
}

impl Default for EvaluateOptions {
    fn default() -> EvaluateOptions {
        EvaluateOptions {
            restrict_vocab: 300_000,
            ignore_case: true,
            unknown_is_wrong: false,
            delimiter: "\t".into(),
        }
    }
}

/// Right and wrong answers of a section of analogies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub n_right: usize,
    pub n: usize,
}

impl Section {
    /// The share of right answers; NaN where nothing was asked.
    pub fn accuracy(&self) -> f64 {
        self.n_right as f64 / self.n as f64
    }
}

/// The outcome of a file of analogies.
#[derive(Debug, Clone, PartialEq)]
pub struct Analogies {
    pub sections: Vec<Section>,
    pub total: Section,
    /// Questions with unknown words, and all.
    pub n_unknown: usize,
    pub n_questions: usize,
}

/// The outcome of a file of judged pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    pub pearson: Correlation,
    pub spearman: Correlation,
    pub n_unknown: usize,
    /// Pairs that the correlations are of.
    pub n: usize,
    /// The share of pairs with unknown words, in percent.
    pub unknown_percent: f64,
}

/// Whether a text is a file of analogies: it has sections.
pub fn is_analogies(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(": "))
}

/// Words by their place, in upper case where case does not count. Of equal ones the first counts.
struct Known(HashMap<String, usize>, bool);

impl Known {
    fn new(table: &VectorTable, options: &EvaluateOptions) -> Known {
        let mut known = HashMap::new();
        for (i, word) in table.words().iter().take(options.restrict_vocab).enumerate() {
            let word = if options.ignore_case { word.to_uppercase() } else { word.clone() };
            known.entry(word).or_insert(i);
        }
        Known(known, options.ignore_case)
    }

    fn spelling(&self, word: &str) -> String {
        if self.1 { word.to_uppercase() } else { word.to_owned() }
    }
}

/// The nearest words that are looked at for an answer.
const CANDIDATES: usize = 5;

/// Asks every question a : b = c : ? of an analogy file such as questions-words.txt. The answer is the
/// first of the five words nearest to b - a + c that is known and none of the three.
///
/// `each` hears how many questions were asked of how many.
/// Fails if the text begins without a section, or has no questions.
pub fn evaluate_analogies(
    table: &mut VectorTable,
    text: &str,
    file: &str,
    options: &EvaluateOptions,
    mut each: impl FnMut(usize, usize),
) -> Result<Analogies> {
    let known = Known::new(table, options);
    let mut sections: Vec<Section> = Vec::new();
    let (mut n_questions, mut n_unknown) = (0, 0);
    // (section, a, b, c, expected)
    let mut asked: Vec<(usize, [usize; 3], [String; 4])> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.starts_with(": ") {
            let name = line.trim_start_matches([':', ' ']).trim().to_owned();
            sections.push(Section { name, n_right: 0, n: 0 });
            continue;
        }
        let Some(section) = sections.len().checked_sub(1) else {
            return Err(Error::file(
                file,
                format!("line {}: expected \": SECTION\" before any question", i + 1),
            ));
        };
        let words: Vec<String> = line.split_whitespace().map(|word| known.spelling(word)).collect();
        let Ok(words) = <[String; 4]>::try_from(words) else { continue };
        n_questions += 1;
        match [0, 1, 2, 3].map(|i| known.0.get(&words[i]).copied()) {
            [Some(a), Some(b), Some(c), Some(_)] => asked.push((section, [a, b, c], words)),
            _ => {
                n_unknown += 1;
                sections[section].n += usize::from(options.unknown_is_wrong);
            }
        }
    }
    if n_questions == 0 {
        return Err(Error::file(file, "has no questions; expected lines of four words"));
    }
    let mut done = 0;
    for questions in asked.chunks(512) {
        let wanted: Vec<_> = questions.iter().map(|(_, [a, b, c], _)| (vec![*b, *c], vec![*a])).collect();
        let answers = table.search(&wanted, options.restrict_vocab, CANDIDATES)?;
        for ((section, _, words), found) in questions.iter().zip(answers) {
            let spellings = found.iter().map(|(i, _)| known.spelling(&table.words()[*i]));
            let spellings: Vec<String> = spellings.collect();
            let good = |word: &&String| known.0.contains_key(*word) && !words[..3].contains(word);
            // gensim takes the last candidate where none is good.
            let answer = spellings.iter().find(good).or(spellings.last());
            sections[*section].n += 1;
            sections[*section].n_right += usize::from(answer == Some(&words[3]));
        }
        done += questions.len();
        each(done, asked.len());
    }
    let total = Section {
        name: "Total accuracy".into(),
        n_right: sections.iter().map(|section| section.n_right).sum(),
        n: sections.iter().map(|section| section.n).sum(),
    };
    Ok(Analogies { sections, total, n_unknown, n_questions })
}

/// Compares the cosines of pairs of words with people's judgements, from a file such as wordsim353.tsv:
/// two words and a number per line; lines that begin with # and lines of another form are skipped.
///
/// Fails if no pair is known.
pub fn evaluate_pairs(
    table: &VectorTable,
    text: &str,
    file: &str,
    options: &EvaluateOptions,
) -> Result<Pairs> {
    let known = Known::new(table, options);
    let (mut judged, mut cosines, mut n_unknown) = (Vec::new(), Vec::new(), 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(&options.delimiter).collect();
        let [a, b, number] = fields[..] else { continue };
        let Ok(number) = number.trim().parse::<f64>() else { continue };
        let place = |word: &str| known.0.get(&known.spelling(word)).copied();
        match (place(a), place(b)) {
            (Some(a), Some(b)) => {
                judged.push(number);
                cosines.push(table.cosine(a, b));
            }
            _ => {
                n_unknown += 1;
                if options.unknown_is_wrong {
                    judged.push(number);
                    cosines.push(0.0);
                }
            }
        }
    }
    if judged.is_empty() {
        return Err(Error::file(
            file,
            format!(
                "no line is two known words and a number; {n_unknown} pairs have unknown words; see --delimiter"
            ),
        ));
    }
    let n_all = if options.unknown_is_wrong { judged.len() } else { judged.len() + n_unknown };
    Ok(Pairs {
        pearson: pearson(&judged, &cosines),
        spearman: spearman(&judged, &cosines),
        n_unknown,
        n: judged.len(),
        unknown_percent: n_unknown as f64 / n_all as f64 * 100.0,
    })
}
