//! Tokenizers that need no file: bytes, characters, words of a list.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::error::{Error, Result};
use crate::text::decode::Spelling;
use crate::text::pieces::{Class, Pieces};
use crate::text::tokenizer::{Encoder, Fragment, Kind, Parts, SpecialIds, Token, Tokenizer};

enum Simple {
    Bytes,
    Characters(HashMap<char, u32>),
    CodePoints,
    Words { ids: HashMap<String, u32>, unknown: Option<u32>, cut: WordCut },
}

/// Where words end.
#[derive(Clone, Copy)]
enum WordCut {
    Blanks,
    /// At blanks, and punctuation is a word of its own.
    Punctuation,
}

impl Tokenizer {
    /// Each byte is a token; the id is the byte.
    pub fn bytes() -> Result<Tokenizer> {
        let pieces = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), Class::Byte));
        let pieces = Pieces::new("bytes", pieces)?;
        Ok(parts("bytes", Kind::Bytes, pieces, Simple::Bytes, Spelling::Plain).build())
    }

    /// Each character that occurs in `sample` is a token, in the order of code points.
    pub fn characters(sample: &str) -> Result<Tokenizer> {
        let characters: BTreeSet<char> = sample.chars().collect();
        let ids = characters.iter().zip(0..).map(|(&character, id)| (character, id)).collect();
        let pieces = characters.into_iter().map(|character| (character.to_string(), Class::Normal));
        let pieces = Pieces::new("characters", pieces)?;
        Ok(parts("characters", Kind::Characters, pieces, Simple::Characters(ids), Spelling::Plain).build())
    }

    /// Each word of the list is a token, in its order; text is cut at blanks. Other words become `unknown`,
    /// which must be in the list, or are an error.
    pub fn words<'a>(words: impl IntoIterator<Item = &'a str>, unknown: Option<&str>) -> Result<Tokenizer> {
        let class = |word: &str| if Some(word) == unknown { Class::Unknown } else { Class::Normal };
        let pieces = Pieces::new("words", words.into_iter().map(|word| (word.to_owned(), class(word))))?;
        let ids = pieces.iter().map(|(id, word, _)| (word.to_owned(), id)).collect();
        let unknown_id = unknown.and_then(|word| pieces.id(word));
        if let (Some(word), None) = (unknown, unknown_id) {
            return Err(Error::Input(format!("the unknown word {word:?} is not in the list of words")));
        }
        let encoder = Simple::Words { ids, unknown: unknown_id, cut: WordCut::Blanks };
        let mut parts = parts("words", Kind::Words, pieces, encoder, Spelling::Spaced);
        parts.ids.unk = unknown_id;
        Ok(parts.build())
    }

    /// Each character is a token; the id is its code point. The vocabulary ends with the highest character
    /// of `sample`, or of ASCII.
    pub fn code_points(sample: &str) -> Result<Tokenizer> {
        let last = sample.chars().map(u32::from).fold(127, u32::max);
        let piece = |code: u32| match char::from_u32(code) {
            Some(character) => (character.to_string(), Class::Normal),
            None => (String::new(), Class::Unused),
        };
        let pieces = Pieces::new("characters", (0..=last).map(piece))?;
        Ok(parts("characters", Kind::Characters, pieces, Simple::CodePoints, Spelling::Plain).build())
    }

    /// Each different word of `sample` is a token, in the order in which they come up. Runs of letters and
    /// digits are words, runs of other characters too.
    pub fn words_of(sample: &str) -> Result<Tokenizer> {
        let cut = WordCut::Punctuation;
        let mut seen = HashSet::new();
        let words = cut.ranges(sample).map(|range| &sample[range]).filter(|&word| seen.insert(word));
        let unknown = ("<unk>".to_owned(), Class::Unknown);
        let words = words.map(|word| (word.to_owned(), Class::Normal));
        let pieces = Pieces::new("words", std::iter::once(unknown).chain(words))?;
        let ids = pieces.iter().skip(1).map(|(id, word, _)| (word.to_owned(), id)).collect();
        let encoder = Simple::Words { ids, unknown: Some(0), cut };
        let mut parts = parts("words", Kind::Words, pieces, encoder, Spelling::Spaced);
        parts.ids.unk = Some(0);
        Ok(parts.build())
    }
}

impl WordCut {
    fn ranges(self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let class = move |c: char| match self {
            _ if c.is_whitespace() => 0,
            WordCut::Punctuation if !(c.is_alphanumeric() || c == '_' || is_mark(c)) => 1,
            _ => 2,
        };
        let mut characters = text.char_indices().peekable();
        std::iter::from_fn(move || {
            let (start, first) = characters.by_ref().find(|&(_, c)| class(c) != 0)?;
            let mut end = start + first.len_utf8();
            while let Some((at, c)) = characters.next_if(|&(_, c)| class(c) == class(first)) {
                end = at + c.len_utf8();
            }
            Some(start..end)
        })
    }
}

/// Marks that combine with the letter before them belong to its word. The blocks that hold most of them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{dff}'
        | '\u{e31}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}')
}

fn parts(name: &str, kind: Kind, pieces: Pieces, encoder: Simple, spelling: Spelling) -> Parts {
    Parts {
        file: name.to_owned(),
        kind,
        pieces,
        encoder: Box::new(encoder),
        cuts_specials: false,
        spelling,
        ids: SpecialIds::default(),
        end_ids: vec![],
        prefix: vec![],
        suffix: vec![],
        adds_prefix: false,
        adds_suffix: false,
        chat_template: None,
    }
}

impl Encoder for Simple {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()> {
        let text = fragment.text;
        let missing = |what: &str, at: usize| {
            Error::Text(format!(
                "the vocabulary has no {what:?}, at byte {} of the text",
                fragment.offset + at
            ))
        };
        match self {
            Simple::Bytes => {
                tokens.extend(text.bytes().enumerate().map(|(i, b)| fragment.token(u32::from(b), i..i + 1)));
            }
            Simple::Characters(ids) => {
                for (at, character) in text.char_indices() {
                    let end = at + character.len_utf8();
                    let id = ids.get(&character).ok_or_else(|| missing(&text[at..end], at))?;
                    tokens.push(fragment.token(*id, at..end));
                }
            }
            Simple::CodePoints => {
                for (at, character) in text.char_indices() {
                    tokens.push(fragment.token(u32::from(character), at..at + character.len_utf8()));
                }
            }
            Simple::Words { ids, unknown, cut } => {
                for range in cut.ranges(text) {
                    let word = &text[range.clone()];
                    let id = ids.get(word).copied().or(*unknown);
                    let id = id.ok_or_else(|| missing(word, range.start))?;
                    tokens.push(fragment.token(id, range));
                }
            }
        }
        Ok(())
    }
}
