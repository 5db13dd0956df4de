//! What one tokenizer makes of one text: the tokens, how each is shown, and what there is to count.

use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::meter;
use crate::error::Result;
use crate::text::{Class, Encode, Kind, Token, Tokenizer};

/// A tokenizer and the name it is shown by.
pub struct Named {
    pub name: String,
    pub tokenizer: Tokenizer,
}

/// The tokens of a text by one tokenizer.
pub struct Analysis {
    pub tokens: Vec<Token>,
    /// Time that encoding took.
    pub seconds: f64,
    /// Time that processors spent on it, where the system says.
    pub cpu_seconds: Option<f64>,
    /// Tokens that stand for text which the vocabulary cannot spell.
    pub n_unknown: usize,
    /// Decoding the tokens gives the text back, byte for byte.
    pub exact: bool,
}

/// What a text has whatever cuts it.
#[derive(Clone, Copy)]
pub struct Size {
    pub n_bytes: usize,
    pub n_chars: usize,
    /// Parts between blanks.
    pub n_words: usize,
}

impl Size {
    pub fn of(text: &str) -> Size {
        Size { n_bytes: text.len(), n_chars: text.chars().count(), n_words: text.split_whitespace().count() }
    }
}

/// How a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Text,
    /// Structure: bos, end of turn, mask. Its name is shown.
    Special,
    /// Text that the vocabulary cannot spell.
    Unknown,
    /// Bytes that are no whole character. They are shown in hexadecimal: `‹E6 97›`.
    Bytes,
}

/// What stands for a token on a page.
pub struct Shown {
    pub text: String,
    pub look: Look,
}

impl Named {
    pub fn analyse(&self, text: &str, options: Encode) -> Result<Analysis> {
        let (start, cpu) = (Instant::now(), meter::cpu_seconds());
        let tokens = self.tokenizer.encode_with_offsets(text, options)?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = meter::cpu_seconds().zip(cpu).map(|(end, start)| end - start);
        let unknown = self.tokenizer.unk();
        let n_unknown = tokens.iter().filter(|t| Some(t.id) == unknown).count();
        let ids: Vec<u32> = tokens.iter().map(|t| t.id).collect();
        // Special tokens that stand in the text decode to nothing: they count for their names.
        let special = crate::text::Decode { special: options.special, ..Default::default() };
        let frame = |t: &&Token| t.start == t.end && self.tokenizer.is_special(t.id);
        let exact = match options.special {
            true => {
                let inner: Vec<u32> = tokens.iter().filter(|t| !frame(t)).map(|t| t.id).collect();
                self.tokenizer.decode_with(&inner, special) == text
            }
            false => self.tokenizer.decode(&ids) == text,
        };
        Ok(Analysis { tokens, seconds, cpu_seconds, n_unknown, exact })
    }

    /// How the token `id` is shown.
    pub fn shown(&self, id: u32) -> Shown {
        let tokenizer = &self.tokenizer;
        let piece = || tokenizer.piece(id).unwrap_or("").to_owned();
        if Some(id) == tokenizer.unk() {
            return Shown { text: piece(), look: Look::Unknown };
        }
        if tokenizer.is_special(id) {
            return Shown { text: piece(), look: Look::Special };
        }
        // `##ing` says that it goes on with a word; the bytes it stands for do not.
        if tokenizer.kind() == Kind::WordPiece {
            return Shown { text: piece(), look: Look::Text };
        }
        let bytes = self.bytes(id);
        let fallback = tokenizer.class(id) == Class::Byte && tokenizer.kind() != Kind::Bytes;
        match String::from_utf8(bytes) {
            Ok(text) if text.is_empty() => Shown { text: piece(), look: Look::Text },
            Ok(text) if !fallback => Shown { text, look: Look::Text },
            Ok(text) => Shown { text: format!("‹{}›", hex(text.as_bytes())), look: Look::Bytes },
            Err(error) => Shown { text: partly_hex(error.as_bytes()), look: Look::Bytes },
        }
    }

    /// The bytes that a token stands for: nothing for special tokens.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        match self.tokenizer.kind() {
            // The blank before a word is not in the piece.
            Kind::Words | Kind::WordPiece => self.tokenizer.piece(id).unwrap_or("").as_bytes().to_vec(),
            _ => self.tokenizer.piece_bytes(id),
        }
    }

    /// The counts and, where wanted, the tokens, for `--json`.
    pub fn json(&self, analysis: &Analysis, size: Size, with_tokens: bool) -> Value {
        let mut object = json!({
            "name": self.name,
            "kind": self.tokenizer.kind().name(),
            "n_vocab": self.tokenizer.n_vocab(),
            "n_bytes": size.n_bytes,
            "n_chars": size.n_chars,
            "n_words": size.n_words,
            "n_tokens": analysis.tokens.len(),
            "tokens_per_word": analysis.per(size.n_words),
            "tokens_per_byte": analysis.per(size.n_bytes),
            "n_unknown": analysis.n_unknown,
            "exact": analysis.exact,
            "seconds": analysis.seconds,
            "cpu_seconds": analysis.cpu_seconds,
        });
        if with_tokens {
            object["tokens"] = analysis.tokens.iter().map(|t| self.json_token(t)).collect();
        }
        object
    }

    fn json_token(&self, token: &Token) -> Value {
        let shown = self.shown(token.id);
        let bytes = self.bytes(token.id);
        let piece = match shown.look {
            Look::Bytes => String::from_utf8_lossy(&bytes).into_owned(),
            _ => shown.text,
        };
        let mut object = json!({ "id": token.id, "piece": piece, "start": token.start, "end": token.end });
        match shown.look {
            Look::Special => object["special"] = true.into(),
            Look::Unknown => object["unknown"] = true.into(),
            Look::Bytes => object["bytes"] = bytes.into(),
            Look::Text => {}
        }
        object
    }
}

impl Analysis {
    /// Tokens per word, byte or character; `None` for a text that has none.
    pub fn per(&self, n: usize) -> Option<f64> {
        (n > 0).then(|| self.tokens.len() as f64 / n as f64)
    }

    pub fn megabytes_per_second(&self, size: Size) -> f64 {
        size.n_bytes as f64 / 1e6 / self.seconds.max(1e-9)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ")
}

/// Whole characters as they are, other bytes in hexadecimal.
fn partly_hex(bytes: &[u8]) -> String {
    let chunk = |chunk: std::str::Utf8Chunk<'_>| match chunk.invalid() {
        [] => chunk.valid().to_owned(),
        invalid => format!("{}‹{}›", chunk.valid(), hex(invalid)),
    };
    bytes.utf8_chunks().map(chunk).collect::<String>().replace("›‹", " ")
}

/// A text in one line: blanks, line ends and tabs as signs, what has no width by its code point, and marks
/// on a dotted circle.
pub fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 4);
    for (i, c) in text.chars().enumerate() {
        match c {
            ' ' => line.push('·'),
            '\n' => line.push('⏎'),
            '\t' => line.push('→'),
            '\r' => line.push('␍'),
            // Joiners and variation selectors keep their neighbours together; alone they are nothing.
            '\u{200d}' | '\u{fe0f}' if i > 0 => line.push(c),
            c if is_hidden(c) => line.push_str(&format!("‹{:04X}›", u32::from(c))),
            c if i == 0 && is_mark(c) => line.extend(['◌', c]),
            c => line.push(c),
        }
    }
    line
}

/// Characters without a picture of their own.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_mark(c: char) -> bool {
    unicode_width::UnicodeWidthChar::width(c) == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_visible() {
        assert_eq!(visible(" a\tb\n"), "·a→b⏎");
        assert_eq!(visible("\u{301}"), "◌\u{301}");
        assert_eq!(visible("\u{200b}\u{7}"), "‹200B›‹0007›");
        assert_eq!(hex("é".as_bytes()), "C3 A9");
        let bytes = Named { name: "bytes".into(), tokenizer: Tokenizer::bytes().expect("loads") };
        assert_eq!((bytes.shown(65).text.as_str(), bytes.shown(65).look), ("A", Look::Text));
        assert_eq!((bytes.shown(0xc3).text.as_str(), bytes.shown(0xc3).look), ("‹C3›", Look::Bytes));
        assert_eq!(partly_hex(b" \xe6\x97 \xff\xfe"), " ‹E6 97› ‹FF FE›");
    }
}
