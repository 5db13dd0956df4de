//! The tokenizer file of llama2.c: `tok512.bin`, `tokenizer.bin`.
//!
//! ```text
//!  u32 length of the longest piece | per token: f32 score, u32 length, bytes
//! ```
//!
//! It is SentencePiece BPE with blanks written as blanks; token 0 is unknown, 1 begins and 2 ends a text.

use crate::error::{Error, Result};
use crate::text::gguf::GgufVocab;
use crate::text::tokenizer::Tokenizer;

impl Tokenizer {
    pub fn from_llama2c(bytes: &[u8], file: &str) -> Result<Tokenizer> {
        let wrong = |message: String| Error::file(file, message);
        let mut rest = bytes;
        let u32 = |rest: &mut &[u8], what: &str| {
            let (word, behind) =
                rest.split_first_chunk::<4>().ok_or_else(|| wrong(format!("ends inside {what}")))?;
            *rest = behind;
            Ok(u32::from_le_bytes(*word))
        };
        let longest = u32(&mut rest, "the header")?;
        let mut vocab = GgufVocab { model: "llama".into(), ..GgufVocab::default() };
        while !rest.is_empty() {
            let id = vocab.tokens.len();
            vocab.scores.push(f32::from_bits(u32(&mut rest, "a score")?));
            let length = u32(&mut rest, "a length")?;
            if length > longest || length as usize > rest.len() {
                return Err(wrong(format!(
                    "token {id} says {length} bytes; the longest has {longest}, {} are left",
                    rest.len()
                )));
            }
            let (text, behind) = rest.split_at(length as usize);
            let text = std::str::from_utf8(text).map_err(|error| wrong(format!("token {id}: {error}")))?;
            vocab.tokens.push(match id {
                1 => "<s>".into(),
                2 => "</s>".into(),
                _ => text.replace(' ', "▁"),
            });
            vocab.token_types.push(match id {
                0 => 2,
                1 | 2 => 3,
                _ if crate::text::pieces::byte_of(text).is_some() => 6,
                _ => 1,
            });
            rest = behind;
        }
        if vocab.tokens.len() < 3 {
            return Err(wrong(format!("expected at least 3 tokens, found {}", vocab.tokens.len())));
        }
        (vocab.unk, vocab.bos, vocab.eos) = (Some(0), Some(1), Some(2));
        Tokenizer::from_parts(vocab, file)
    }
}
