//! Tokenizers that need no file: bytes, characters, words of a list.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};
use crate::text::decode::Spelling;
use crate::text::pieces::{Class, Pieces};
use crate::text::tokenizer::{Encoder, Fragment, Kind, Parts, SpecialIds, Token, Tokenizer};

enum Simple {
    Bytes,
    Characters(HashMap<char, u32>),
    Words { ids: HashMap<String, u32>, unknown: Option<u32> },
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
        let encoder = Simple::Words { ids, unknown: unknown_id };
        let mut parts = parts("words", Kind::Words, pieces, encoder, Spelling::Spaced);
        parts.ids.unk = unknown_id;
        Ok(parts.build())
    }
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
            Simple::Words { ids, unknown } => {
                for word in text.split_whitespace() {
                    let at = word.as_ptr() as usize - text.as_ptr() as usize;
                    let id = ids.get(word).copied().or(*unknown).ok_or_else(|| missing(word, at))?;
                    tokens.push(fragment.token(id, at..at + word.len()));
                }
            }
        }
        Ok(())
    }
}
