//! From token ids back to text, whole or as they come.

use std::borrow::Cow;
use std::ops::Deref;

use crate::text::byte_bpe;
use crate::text::pieces::{Class, byte_of};
use crate::text::tokenizer::Tokenizer;

/// How pieces spell text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// A visible character per byte (GPT-2).
    Bytes,
    /// `▁` is a blank. Whether encoding puts one before the text, so that decoding takes it off.
    Blanks { prefix: bool },
    /// `##` (or, in GGUF files, no `▁`) continues a word; other pieces start one.
    Words { marked_starts: bool, cleanup: bool },
    /// Each piece is a word.
    Spaced,
    /// Pieces are text.
    Plain,
}

/// What decoding writes. The default is the text of a whole reply or document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decode {
    /// Also writes control tokens (`<|im_end|>`), as their pieces.
    pub special: bool,
    /// The ids begin a text: the blank that encoding puts before a text is taken off. Off to continue one.
    pub start: bool,
}

impl Default for Decode {
    fn default() -> Decode {
        Decode { special: false, start: true }
    }
}

/// Decodes ids one at a time, giving out whole characters as soon as they are complete. What it gives out
/// in all is exactly what [`Tokenizer::decode_with`] gives for the same ids.
///
/// `T` is `&Tokenizer` or `Arc<Tokenizer>`.
#[derive(Debug, Clone)]
pub struct DecodeStream<T: Deref<Target = Tokenizer>> {
    tokenizer: T,
    options: Decode,
    at_start: bool,
    /// The bytes of a character that is not complete yet: at most 3.
    pending: Vec<u8>,
}

impl<T: Deref<Target = Tokenizer>> DecodeStream<T> {
    pub fn new(tokenizer: T, options: Decode) -> DecodeStream<T> {
        DecodeStream { tokenizer, options, at_start: options.start, pending: vec![] }
    }

    /// The text that `id` completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        let mut text = String::new();
        self.push_to(id, &mut text);
        (!text.is_empty()).then_some(text)
    }

    /// Ends the text: a replacement character if it ends inside a character.
    pub fn finish(&mut self) -> Option<String> {
        self.at_start = self.options.start;
        (!std::mem::take(&mut self.pending).is_empty()).then(|| "\u{fffd}".to_owned())
    }

    pub(crate) fn push_to(&mut self, id: u32, text: &mut String) {
        if self.tokenizer.is_special(id) && !self.options.special {
            return;
        }
        let bytes = self.tokenizer.spelled(id, self.at_start);
        self.at_start = false;
        if self.pending.is_empty() {
            take_characters(&bytes, text, &mut self.pending);
        } else {
            let mut joined = std::mem::take(&mut self.pending);
            joined.extend_from_slice(&bytes);
            take_characters(&joined, text, &mut self.pending);
        }
    }
}

/// Appends the characters of `bytes` to `text`, replacement characters for what can never be one, and leaves
/// the start of an incomplete character at the end in `pending`.
fn take_characters(bytes: &[u8], text: &mut String, pending: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => return text.push_str(valid),
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).expect("checked just now"));
                match error.error_len() {
                    None => return pending.extend_from_slice(bad),
                    Some(length) => {
                        text.push('\u{fffd}');
                        rest = &bad[length..];
                    }
                }
            }
        }
    }
}

impl Spelling {
    /// The bytes that a piece stands for. `at_start`: nothing was written before it.
    pub fn bytes(self, piece: &str, class: Class, at_start: bool) -> Cow<'_, [u8]> {
        let plain = Cow::Borrowed(piece.as_bytes());
        if let (Class::Byte, Some(byte)) = (class, byte_of(piece)) {
            return Cow::Owned(vec![byte]);
        }
        match self {
            _ if class == Class::Control => plain,
            Spelling::Plain => plain,
            Spelling::Bytes if class == Class::UserDefined => plain,
            Spelling::Bytes => byte_bpe::bytes_of(piece).map_or(plain, Cow::Owned),
            Spelling::Blanks { prefix } => {
                let skip = if at_start && prefix { '▁'.len_utf8() } else { 0 };
                match piece.find('▁') {
                    None => plain,
                    Some(first) => {
                        let piece = if first == 0 { &piece[skip..] } else { piece };
                        Cow::Owned(piece.replace('▁', " ").into_bytes())
                    }
                }
            }
            Spelling::Words { .. } if class == Class::UserDefined => word(piece, at_start),
            Spelling::Words { marked_starts, cleanup } => {
                let (text, starts) = match marked_starts {
                    true => piece.strip_prefix('▁').map_or((piece, false), |text| (text, true)),
                    false => piece.strip_prefix("##").map_or((piece, true), |text| (text, false)),
                };
                match starts && !(cleanup && follows_without_blank(text)) {
                    true => word(text, at_start),
                    false => Cow::Borrowed(text.as_bytes()),
                }
            }
            Spelling::Spaced => word(piece, at_start),
        }
    }
}

fn word(text: &str, at_start: bool) -> Cow<'_, [u8]> {
    match at_start {
        true => Cow::Borrowed(text.as_bytes()),
        false => Cow::Owned(format!(" {text}").into_bytes()),
    }
}

/// English punctuation and the ends of contractions stand right behind the word before.
fn follows_without_blank(text: &str) -> bool {
    text.starts_with(['.', '?', '!', ',']) || matches!(text, "n't" | "'m" | "'s" | "'ve" | "'re")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let bytes = |spelling: Spelling, piece: &str, start| {
            String::from_utf8(spelling.bytes(piece, Class::Normal, start).into_owned())
                .expect("whole characters")
        };
        assert_eq!(bytes(Spelling::Bytes, "Ġthe", true), " the");
        let blanks = Spelling::Blanks { prefix: true };
        assert_eq!(bytes(blanks, "▁▁the▁", true), " the ");
        assert_eq!(bytes(blanks, "▁the", false), " the");
        let words = Spelling::Words { marked_starts: false, cleanup: true };
        assert_eq!(bytes(words, "##ing", false), "ing");
        assert_eq!(bytes(words, "sing", false), " sing");
        assert_eq!(bytes(words, "sing", true), "sing");
        assert_eq!(bytes(words, ".", false), ".");
        let marked = Spelling::Words { marked_starts: true, cleanup: false };
        assert_eq!(bytes(marked, "▁sing", false), " sing");
        assert_eq!(bytes(marked, "ing", false), "ing");
    }

    #[test]
    fn characters_are_never_split() {
        let (mut text, mut pending) = (String::new(), vec![]);
        take_characters(b"a\xe6\x97", &mut text, &mut pending);
        assert_eq!((text.as_str(), &pending[..]), ("a", &b"\xe6\x97"[..]));
        let (mut text, mut pending) = (String::new(), vec![]);
        take_characters(b"\xffa\xe6b\xf0\x9f", &mut text, &mut pending);
        assert_eq!((text.as_str(), &pending[..]), ("\u{fffd}a\u{fffd}b", &b"\xf0\x9f"[..]));
    }
}
