//! SentencePiece: normalisation, then BPE by score, BPE by merges, or the Unigram model.
//!
//! Blanks are part of the text: they become `▁`; one may be put before the text, so that a word is the same
//! token at the start and elsewhere. Characters that no token spells become their bytes (`<0xE2>` ...), or
//! the unknown token where the vocabulary has no bytes.
//!
//! Sums of Unigram scores are in f64, as in the model hub's library and llama.cpp. The SentencePiece program
//! stores them in f32, so that ways to cut which are about equally probable come out otherwise there: its own
//! files ([`GgufVocab::as_sentencepiece`](crate::text::GgufVocab)) are read as it does.
//!
//! Source: Kudo and Richardson 2018, arXiv:1808.06226; Unigram: Kudo 2018, arXiv:1804.10959.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::text::charsmap::Charsmap;
use crate::text::hash::Table;
use crate::text::merge::{Joined, NO_TOKEN, Symbol, merge};
use crate::text::pieces::{Class, Pieces};
use crate::text::prefixes::Prefixes;
use crate::text::tokenizer::{Encoder, Fragment, Token};

/// What happens to a text before it is cut into pieces.
#[derive(Debug, Default)]
pub struct Normalizer {
    pub charsmap: Option<Charsmap>,
    /// Puts a blank before the text and before what follows a special token.
    pub add_space_prefix: bool,
    /// Drops blanks at both ends and makes one of several.
    pub remove_extra_whitespaces: bool,
    /// Texts that stay as they are.
    pub kept: Prefixes,
}

/// A normalised text and, for each of its bytes and its end, the byte of the input it comes from.
struct Normal {
    text: String,
    origin: Vec<u32>,
}

impl Normalizer {
    fn normalize(&self, input: &str) -> Normal {
        let mut normal = Normal { text: String::with_capacity(input.len() + 3), origin: vec![] };
        normal.origin.reserve(input.len() + 4);
        // A blank that counts only if something follows it.
        let mut blank = None;
        let mut at = 0;
        while let Some(character) = input[at..].chars().next() {
            let mut buffer = [0; 4];
            let mut kept = None;
            self.kept.each_prefix(&input.as_bytes()[at..], |length, _| kept = Some(length));
            let mapped = || self.charsmap.as_ref().and_then(|map| map.replace(&input[at..]));
            let (length, replacement) = match kept {
                Some(length) => (length, &input[at..at + length]),
                None => {
                    mapped().unwrap_or_else(|| (character.len_utf8(), &*character.encode_utf8(&mut buffer)))
                }
            };
            for character in replacement.chars() {
                if character == ' ' && self.remove_extra_whitespaces {
                    blank = if normal.text.is_empty() { None } else { Some(at) };
                    continue;
                }
                if normal.text.is_empty() && self.add_space_prefix {
                    normal.push('▁', at);
                }
                if let Some(at) = blank.take() {
                    normal.push('▁', at);
                }
                normal.push(if character == ' ' { '▁' } else { character }, at);
            }
            at += length;
        }
        // A sign for a blank at the end goes too, be it one that stood in the text.
        while self.remove_extra_whitespaces && normal.text.ends_with('▁') {
            normal.text.truncate(normal.text.len() - '▁'.len_utf8());
        }
        normal.origin.truncate(normal.text.len());
        normal.origin.push(input.len() as u32);
        normal
    }
}

impl Normal {
    fn push(&mut self, character: char, at: usize) {
        self.text.push(character);
        self.origin.resize(self.text.len(), at as u32);
    }
}

/// How a normalised text is cut into pieces.
pub enum Cut {
    /// Joins the pair whose join has the highest score.
    Scores {
        /// By piece: the id and the key that sorts by score.
        pieces: Table<Box<str>, (u32, u32)>,
        /// No piece has a `▁` behind another character, so that words can be cut one by one.
        words: bool,
    },
    /// Joins pairs by the rank of their merge, line by line.
    Merges {
        /// `(left, right)` to `(rank, joined)`.
        pairs: Table<(u32, u32), (u32, u32)>,
        ids: Table<Box<str>, u32>,
    },
    /// The most probable sequence of pieces.
    Unigram {
        prefixes: Prefixes,
        scores: Vec<f32>,
        unknown_score: f64,
        /// Stores sums in f32.
        rounds: bool,
    },
}

pub struct SentencePiece {
    pub normalizer: Normalizer,
    pub cut: Cut,
    /// The tokens of single bytes. A character is spelled in bytes only if all of its bytes have one.
    pub bytes: Box<[Option<u32>; 256]>,
    pub unknown: Option<u32>,
}

/// How much less probable than the worst piece an unknown character is, in nats.
const UNKNOWN_PENALTY: f64 = 10.0;

impl Cut {
    /// `scores` by id; higher is better.
    pub fn by_score(file: &str, pieces: &Pieces, scores: &[f32]) -> Result<Cut> {
        check_scores(file, pieces, scores)?;
        // Floats compare as their bits once the order of the negative ones is turned round.
        let key = |score: f32| {
            let bits = (score + 0.0).to_bits();
            !(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
        };
        let joined = |(id, text, _): (u32, &str, Class)| (Box::from(text), (id, key(scores[id as usize])));
        let known = || pieces.iter().filter(|(.., class)| *class != Class::Byte);
        let inner = |text: &str| text.trim_start_matches('▁').contains('▁');
        Ok(Cut::Scores {
            pieces: known().map(joined).collect(),
            words: !known().any(|(_, text, _)| inner(text)),
        })
    }

    /// `merges` are pairs of pieces with one blank between them, best first.
    pub fn by_merges(file: &str, pieces: &Pieces, merges: &[String]) -> Result<Cut> {
        let mut pairs = Table::with_capacity_and_hasher(merges.len(), Default::default());
        for (rank, line) in merges.iter().enumerate() {
            // A piece may begin with a blank, so the first character never separates.
            let at = line.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
            let parts = at.map(|at| (&line[..at], &line[at + 1..]));
            let ids = parts.and_then(|(left, right)| {
                Some((pieces.id(left)?, pieces.id(right)?, pieces.id(&format!("{left}{right}"))?))
            });
            let Some((left, right, joined)) = ids else {
                let message = format!(
                    "merge {rank}, {line:?}: expected two pieces of the vocabulary that join to a third"
                );
                return Err(Error::file(file, message));
            };
            pairs.entry((left, right)).or_insert((rank as u32, joined));
        }
        let ids = pieces.iter().map(|(id, text, _)| (Box::from(text), id)).collect();
        Ok(Cut::Merges { pairs, ids })
    }

    /// `scores` by id: the logarithms of the pieces' probabilities.
    pub fn unigram(file: &str, pieces: &Pieces, scores: &[f32], as_sentencepiece: bool) -> Result<Cut> {
        check_scores(file, pieces, scores)?;
        let usable = |class| match class {
            Class::Normal | Class::UserDefined => true,
            Class::Unused => !as_sentencepiece,
            _ => false,
        };
        let prefixes = Prefixes::new(
            pieces.iter().filter(|(.., class)| usable(*class)).map(|(id, text, _)| (text.as_bytes(), id)),
        );
        let normal = || pieces.iter().filter(|(.., class)| *class == Class::Normal);
        let worst = normal().map(|(id, ..)| f64::from(scores[id as usize])).fold(f64::INFINITY, f64::min);
        let best = normal().map(|(id, ..)| scores[id as usize]).fold(f32::NEG_INFINITY, f32::max);
        let worst = if worst.is_finite() { worst } else { 0.0 };
        let mut scores = scores.to_vec();
        for (id, text, class) in pieces.iter() {
            if class == Class::UserDefined {
                // More than any way to cut the same text could give, in either program's words.
                let more = if best.is_finite() { text.len() as f32 * best - 0.1 } else { 0.0 };
                scores[id as usize] = if as_sentencepiece { more } else { 0.0 };
            }
        }
        Ok(Cut::Unigram {
            prefixes,
            scores,
            unknown_score: if as_sentencepiece {
                f64::from((worst - UNKNOWN_PENALTY) as f32)
            } else {
                worst - UNKNOWN_PENALTY
            },
            rounds: as_sentencepiece,
        })
    }
}

fn check_scores(file: &str, pieces: &Pieces, scores: &[f32]) -> Result<()> {
    if scores.len() < pieces.len() {
        let message = format!("expected a score for each of {} tokens, found {}", pieces.len(), scores.len());
        return Err(Error::file(file, message));
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(id) => Err(Error::file(file, format!("the score of token {id} is not a number"))),
        None => Ok(()),
    }
}

impl Encoder for SentencePiece {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()> {
        let Normal { text, origin } = self.normalizer.normalize(fragment.text);
        if u32::try_from(text.len()).is_err() {
            return Err(Error::Text(format!("the text is too long: {} bytes", text.len())));
        }
        let mut symbols = vec![];
        match &self.cut {
            Cut::Scores { pieces, words } => {
                let word_starts = |before: char, c: char| *words && before != '▁' && c == '▁';
                for part in parts(&text, word_starts) {
                    let mut word = characters(&text, part, |piece| pieces.get(piece).map(|&(id, _)| id));
                    merge(&mut word, |a, b| {
                        let &(id, key) = pieces.get(&text[a.start as usize..b.end as usize])?;
                        Some(Joined { key, id })
                    });
                    symbols.append(&mut word);
                }
            }
            Cut::Merges { pairs, ids } => {
                // Merges never cross a line end, and a run of line ends may be a token as a whole.
                for part in parts(&text, |before, c| (before == '\n') != (c == '\n')) {
                    let line = &text[part.clone()];
                    if let (true, Some(&id)) = (line.starts_with('\n'), ids.get(line)) {
                        symbols.push(Symbol { id, start: part.start as u32, end: part.end as u32 });
                        continue;
                    }
                    let mut line = characters(&text, part, |piece| ids.get(piece).copied());
                    merge(&mut line, |a, b| pairs.get(&(a.id, b.id)).map(|&(key, id)| Joined { key, id }));
                    symbols.append(&mut line);
                }
            }
            Cut::Unigram { prefixes, scores, unknown_score, rounds } => {
                symbols = match rounds {
                    true => viterbi(&text, prefixes, scores, *unknown_score, |sum| f64::from(sum as f32)),
                    false => viterbi(&text, prefixes, scores, *unknown_score, |sum| sum),
                };
            }
        }
        self.emit(fragment, &text, &origin, &symbols, tokens)
    }
}

impl SentencePiece {
    /// Appends the tokens of `symbols`, spelling in bytes those that are no token.
    fn emit(
        &self,
        fragment: &Fragment<'_>,
        text: &str,
        origin: &[u32],
        symbols: &[Symbol],
        tokens: &mut Vec<Token>,
    ) -> Result<()> {
        let mut after_unknown = false;
        for symbol in symbols {
            let range = origin[symbol.start as usize] as usize..origin[symbol.end as usize] as usize;
            if symbol.id != NO_TOKEN {
                tokens.push(fragment.token(symbol.id, range));
                after_unknown = false;
                continue;
            }
            let spelled = &text[symbol.start as usize..symbol.end as usize];
            let bytes: Option<Vec<u32>> = spelled.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
            if let Some(ids) = bytes {
                tokens.extend(ids.into_iter().map(|id| fragment.token(id, range.clone())));
                continue;
            }
            let Some(unknown) = self.unknown else {
                return Err(Error::Text(format!(
                    "the vocabulary has no token for {spelled:?}, at byte {} of the text, and no unknown token",
                    fragment.offset + range.start
                )));
            };
            // Neighbouring unknown characters are one token.
            match tokens.last_mut() {
                Some(last) if after_unknown => last.end = fragment.offset + range.end,
                _ => tokens.push(fragment.token(unknown, range)),
            }
            after_unknown = true;
        }
        Ok(())
    }
}

/// One symbol per character of a part of the text.
fn characters(text: &str, part: Range<usize>, id: impl Fn(&str) -> Option<u32>) -> Vec<Symbol> {
    let symbol = |(at, character): (usize, char)| {
        let (start, end) = (part.start + at, part.start + at + character.len_utf8());
        Symbol { id: id(&text[start..end]).unwrap_or(NO_TOKEN), start: start as u32, end: end as u32 }
    };
    text[part.clone()].char_indices().map(symbol).collect()
}

/// The text cut between each two characters of which `cut` is true.
fn parts(text: &str, cut: impl Fn(char, char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut characters = text[start..].char_indices();
        let (_, mut before) = characters.next()?;
        let end = characters.find(|&(_, c)| cut(std::mem::replace(&mut before, c), c));
        let end = end.map_or(text.len(), |(at, _)| start + at);
        Some(std::mem::replace(&mut start, end)..end)
    })
}

/// The sequence of pieces with the highest sum of scores. Sums are made in f64; `stored` is what is kept of one.
fn viterbi(
    text: &str,
    prefixes: &Prefixes,
    scores: &[f32],
    unknown_score: f64,
    stored: impl Fn(f64) -> f64,
) -> Vec<Symbol> {
    #[derive(Clone, Copy)]
    struct Best {
        score: f64,
        start: u32,
        id: u32,
    }
    // The best way to reach each byte.
    let mut best = vec![Best { score: f64::NEG_INFINITY, start: 0, id: NO_TOKEN }; text.len() + 1];
    best[0].score = 0.0;
    for (start, character) in text.char_indices() {
        let score = best[start].score;
        let mut single = false;
        prefixes.each_prefix(&text.as_bytes()[start..], |length, id| {
            single |= length == character.len_utf8();
            let reached = &mut best[start + length];
            let sum = stored(score + f64::from(scores[id as usize]));
            if sum > reached.score {
                *reached = Best { score: sum, start: start as u32, id };
            }
        });
        let reached = &mut best[start + character.len_utf8()];
        let sum = stored(score + unknown_score);
        if !single && sum > reached.score {
            *reached = Best { score: sum, start: start as u32, id: NO_TOKEN };
        }
    }
    let mut symbols = vec![];
    let mut end = text.len();
    while end > 0 {
        let Best { start, id, .. } = best[end];
        symbols.push(Symbol { id, start, end: end as u32 });
        end = start as usize;
    }
    symbols.reverse();
    symbols
}
