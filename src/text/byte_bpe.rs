//! Byte-level BPE, the tokenizers of GPT-2, Llama 3, Qwen, SmolLM and most others.
//!
//! A pre-tokenizer cuts the text into words; the bytes of a word are the first symbols; neighbours are joined
//! by the rank of their merge. Files write a byte as a visible character: printable Latin-1 stands for itself
//! and the other 68 bytes are moved to U+0100 and on (a blank is `Ġ`).
//!
//! Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::text::hash::Table;
use crate::text::merge::{Joined, NO_TOKEN, Symbol, merge};
use crate::text::pieces::Pieces;
use crate::text::pre::PreTokenizer;
use crate::text::tokenizer::{Encoder, Fragment, Token};

/// The character that stands for `byte` in a piece.
pub fn char_of(byte: u8) -> char {
    let visible = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if visible(byte) {
        return char::from(byte);
    }
    let n_hidden_before = (0..byte).filter(|&b| !visible(b)).count() as u32;
    char::from_u32(0x100 + n_hidden_before).expect("at most 68 characters behind U+0100")
}

/// The byte that `character` stands for in a piece, if it is one of the 256.
pub fn byte_of_char(character: char) -> Option<u8> {
    match character as u32 {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// A piece that stands for `bytes`.
pub fn piece_of(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}

/// The bytes that `piece` stands for, or none when a character stands for no byte (tokens that were added
/// to the vocabulary are stored as plain text).
pub fn bytes_of(piece: &str) -> Option<Vec<u8>> {
    piece.chars().map(byte_of_char).collect()
}

/// How a pair of neighbours is looked up.
enum Pairs {
    /// By the two ids: the rank of the merge and the id of the join.
    Merges(Table<(u32, u32), (u32, u32)>),
    /// By the joined bytes: a token's id is its rank (tiktoken).
    Ranks(Table<Box<[u8]>, u32>),
}

pub struct ByteBpe {
    pre: PreTokenizer,
    /// The token of each single byte.
    bytes: Box<[u32; 256]>,
    pairs: Pairs,
    /// Words that are tokens as a whole, where the pre-tokenizer wants them looked up.
    words: Table<Box<[u8]>, u32>,
}

impl ByteBpe {
    /// `merges` are pairs of pieces with one blank between them, best first.
    pub fn from_merges(file: &str, pieces: &Pieces, merges: &[String], pre: PreTokenizer) -> Result<ByteBpe> {
        let mut pairs = Table::with_capacity_and_hasher(merges.len(), Default::default());
        for (rank, line) in merges.iter().enumerate() {
            let (left, right, joined) = split_merge(line, pieces).map_err(|message| {
                Error::file(file, format!("merge {rank}, {line:?}: {message}; the file is damaged"))
            })?;
            pairs.entry((left, right)).or_insert((rank as u32, joined));
        }
        let mut bytes = Box::new([NO_TOKEN; 256]);
        for (byte, id) in bytes.iter_mut().enumerate() {
            *id = pieces.id(char_of(byte as u8).encode_utf8(&mut [0; 4])).unwrap_or(NO_TOKEN);
        }
        let mut words = Table::default();
        if pre.whole_words {
            let normal = pieces.iter().filter_map(|(id, text, _)| Some((bytes_of(text)?, id)));
            words.extend(normal.map(|(bytes, id)| (bytes.into_boxed_slice(), id)));
        }
        Ok(ByteBpe { pre, bytes, pairs: Pairs::Merges(pairs), words })
    }

    /// `ranks` holds the bytes of every token; a token's id is its rank.
    pub fn from_ranks(ranks: Table<Box<[u8]>, u32>, pre: PreTokenizer) -> ByteBpe {
        let mut bytes = Box::new([NO_TOKEN; 256]);
        for (byte, id) in bytes.iter_mut().enumerate() {
            *id = ranks.get(&[byte as u8][..]).copied().unwrap_or(NO_TOKEN);
        }
        ByteBpe { pre, bytes, pairs: Pairs::Ranks(ranks), words: Table::default() }
    }

    fn encode_word(&self, text: &[u8], word: Range<usize>, symbols: &mut Vec<Symbol>) {
        symbols.clear();
        let whole = match &self.pairs {
            Pairs::Ranks(ranks) => ranks.get(&text[word.clone()]),
            Pairs::Merges(_) => self.words.get(&text[word.clone()]),
        };
        if let Some(&id) = whole {
            symbols.push(Symbol { id, start: word.start as u32, end: word.end as u32 });
            return;
        }
        symbols.extend(word.map(|i| Symbol {
            id: self.bytes[usize::from(text[i])],
            start: i as u32,
            end: i as u32 + 1,
        }));
        match &self.pairs {
            Pairs::Merges(pairs) => {
                merge(symbols, |a, b| pairs.get(&(a.id, b.id)).map(|&(key, id)| Joined { key, id }));
            }
            Pairs::Ranks(ranks) => {
                merge(symbols, |a, b| {
                    ranks.get(&text[a.start as usize..b.end as usize]).map(|&id| Joined { key: id, id })
                });
            }
        }
    }
}

/// Words recur: the symbols of words of up to this many bytes are kept while a text is encoded.
const N_KEPT_BYTES_MAX: usize = 32;

impl Encoder for ByteBpe {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()> {
        let text = fragment.text.as_bytes();
        // By word: where the text had it first, and its tokens there.
        let mut seen: Table<&[u8], (usize, Range<usize>)> = Table::default();
        let mut symbols = vec![];
        for word in self.pre.split(fragment.text) {
            let short = word.len() <= N_KEPT_BYTES_MAX;
            if let Some((first, range)) = short.then(|| seen.get(&text[word.clone()])).flatten() {
                let shift = word.start - first;
                for i in range.clone() {
                    let Token { id, start, end } = tokens[i];
                    tokens.push(Token { id, start: start + shift, end: end + shift });
                }
                continue;
            }
            let n_before = tokens.len();
            self.encode_word(text, word.clone(), &mut symbols);
            // Some vocabularies lack bytes that their training text did not hold. The models have never seen
            // them, and the reference programs leave them out.
            for symbol in symbols.iter().filter(|symbol| symbol.id != NO_TOKEN) {
                tokens.push(fragment.token(symbol.id, symbol.start as usize..symbol.end as usize));
            }
            if short {
                seen.insert(&text[word.clone()], (word.start, n_before..tokens.len()));
            }
        }
        Ok(())
    }
}

/// The ids of the two sides of a merge and of their join.
fn split_merge(line: &str, pieces: &Pieces) -> Result<(u32, u32, u32), String> {
    let (left, right) = line.split_once(' ').ok_or("expected two pieces with a blank between them")?;
    let id = |piece: &str| pieces.id(piece).ok_or_else(|| format!("{piece:?} is not in the vocabulary"));
    Ok((id(left)?, id(right)?, id(&format!("{left}{right}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_256_characters() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of_char(char_of(byte)), Some(byte));
        }
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(piece_of("é!".as_bytes()), "Ã©!");
        assert_eq!(bytes_of("▁"), None);
        assert_eq!((0x100..0x200).filter_map(|c| byte_of_char(char::from_u32(c)?)).count(), 68);
    }
}
