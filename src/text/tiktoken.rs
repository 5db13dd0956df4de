//! tiktoken rank files: a line per token, its bytes in base64 and its rank, which is its id.

use crate::error::{Error, Result};
use crate::text::byte_bpe::{ByteBpe, piece_of};
use crate::text::companions::ids_by_name;
use crate::text::decode::Spelling;
use crate::text::hash::Table;
use crate::text::pieces::{Class, Pieces};
use crate::text::pre::PreTokenizer;
use crate::text::tokenizer::{Kind, Parts, Tokenizer};

/// A vocabulary that is known by the number of its ranks: the file itself does not say what it is.
struct Known {
    n_ranks: usize,
    pre: &'static str,
    /// Names and ids that the models' programs add.
    specials: &'static [(&'static str, u32)],
}

const KNOWN: &[Known] = &[
    Known { n_ranks: 50_256, pre: "gpt-2", specials: &[("<|endoftext|>", 50_256)] },
    Known {
        n_ranks: 100_256,
        pre: "cl100k",
        specials: &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
    },
    Known {
        n_ranks: 199_998,
        pre: "o200k",
        specials: &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
    },
    Known {
        n_ranks: 151_643,
        pre: "qwen2",
        specials: &[("<|endoftext|>", 151_643), ("<|im_start|>", 151_644), ("<|im_end|>", 151_645)],
    },
    Known {
        n_ranks: 128_000,
        pre: "llama-bpe",
        specials: &[
            ("<|begin_of_text|>", 128_000),
            ("<|end_of_text|>", 128_001),
            ("<|start_header_id|>", 128_006),
            ("<|end_header_id|>", 128_007),
            ("<|eom_id|>", 128_008),
            ("<|eot_id|>", 128_009),
            ("<|python_tag|>", 128_010),
        ],
    },
    Known { n_ranks: 200_000, pre: "llama4", specials: &[] },
];

impl Tokenizer {
    /// Reads a rank file of a known vocabulary: GPT-2, cl100k, o200k, Qwen, Llama 3 and 4.
    pub fn from_ranks(bytes: &[u8], file: &str) -> Result<Tokenizer> {
        let n_ranks = bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        match KNOWN.iter().find(|known| known.n_ranks == n_ranks) {
            Some(known) => Tokenizer::from_tiktoken(bytes, file, known.pre, known.specials),
            // A file of another size may be a part of one, or somebody's own.
            None => Tokenizer::from_tiktoken(bytes, file, "gpt-2", &[]),
        }
    }

    /// Reads a rank file. It says nothing of the pre-tokenizer (`gpt-2`, `cl100k`, `o200k`, `qwen2`, ...) nor
    /// of the special tokens, which have ids of their own.
    pub fn from_tiktoken(bytes: &[u8], file: &str, pre: &str, specials: &[(&str, u32)]) -> Result<Tokenizer> {
        let pre = PreTokenizer::named(pre)?;
        let text = std::str::from_utf8(bytes).map_err(|error| Error::file(file, error.to_string()))?;
        let mut ranks: Table<Box<[u8]>, u32> = Table::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let entry = line.split_once(' ').and_then(|(bytes, rank)| {
                Some((base64(bytes).filter(|b| !b.is_empty())?, rank.trim().parse::<u32>().ok()?))
            });
            let Some((token, rank)) = entry else {
                let message = format!("line {}: expected base64 and a rank, found {line:?}", number + 1);
                return Err(Error::file(file, message));
            };
            ranks.insert(token.into(), rank);
        }
        let n_ids =
            ranks.values().copied().chain(specials.iter().map(|s| s.1)).max().map_or(0, |id| id as usize + 1);
        if n_ids > 2 * (ranks.len() + specials.len()) + (1 << 20) {
            return Err(Error::file(file, format!("{} tokens, but ids up to {}", ranks.len(), n_ids - 1)));
        }
        let mut pieces = vec![(String::new(), Class::Unused); n_ids];
        for (token, &rank) in &ranks {
            pieces[rank as usize] = (piece_of(token), Class::Normal);
        }
        for &(name, id) in specials {
            pieces[id as usize] = (name.to_owned(), Class::Control);
        }
        let pieces = Pieces::new(file, pieces)?;
        let ids = ids_by_name(&pieces);
        let parts = Parts {
            file: file.to_owned(),
            kind: Kind::ByteBpe,
            pieces,
            encoder: Box::new(ByteBpe::from_ranks(ranks, pre)),
            cuts_specials: true,
            spelling: Spelling::Bytes,
            ids,
            end_ids: vec![],
            prefix: ids.bos.into_iter().collect(),
            suffix: ids.eos.into_iter().collect(),
            adds_prefix: false,
            adds_suffix: false,
            chat_template: None,
        };
        Ok(parts.build())
    }
}

/// Standard base64 with padding (RFC 4648, section 4).
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut n_bits) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64("Zg="), None);
        assert_eq!(base64("Z!=="), None);
    }
}
