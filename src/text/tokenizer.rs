//! The tokenizer: one type for every kind of vocabulary file.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result, shortened};
use crate::text::decode::{Decode, DecodeStream, Spelling};
use crate::text::pieces::{Class, Pieces};
use crate::text::prefixes::Prefixes;

/// Turns text into token ids and back. Immutable and shareable between threads.
pub struct Tokenizer {
    parts: Parts,
    /// The texts of tokens that are looked for before anything else.
    specials: Prefixes,
    end_ids: Vec<u32>,
}

/// The algorithm of a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ByteBpe,
    SentencePieceBpe,
    Unigram,
    WordPiece,
    /// Whole words from a list.
    Words,
    Characters,
    Bytes,
}

impl Kind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ByteBpe => "byte-level BPE",
            Kind::SentencePieceBpe => "SentencePiece BPE",
            Kind::Unigram => "Unigram",
            Kind::WordPiece => "WordPiece",
            Kind::Words => "words",
            Kind::Characters => "characters",
            Kind::Bytes => "bytes",
        }
    }
}

/// How to encode. The default adds what the file says (bos, eos, `[CLS]`, `[SEP]`) and takes the names of
/// control tokens in the text as plain text, so that text from outside cannot forge the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encode {
    /// Reads the names of control tokens in the text as those tokens: for rendered chat templates.
    pub special: bool,
    /// Whether to put the bos token (or `[CLS]`) before the text. `None`: as the file says.
    pub bos: Option<bool>,
    /// Whether to put the eos token (or `[SEP]`) behind the text. `None`: as the file says.
    pub eos: Option<bool>,
}

/// A token and the bytes `start..end` of the text it comes from. Added tokens have an empty range; several
/// tokens that spell one character in bytes may share its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    pub start: usize,
    pub end: usize,
}

/// The tokens with a role, where the file names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialIds {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub unk: Option<u32>,
    pub sep: Option<u32>,
    pub pad: Option<u32>,
    pub cls: Option<u32>,
    pub mask: Option<u32>,
}

/// Cuts text into tokens. The text holds no special tokens, unless the encoder finds its own.
pub(super) trait Encoder: Send + Sync {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()>;
}

/// A part of the input between special tokens. Never empty.
pub(super) struct Fragment<'a> {
    pub text: &'a str,
    /// Where the part begins in the input, in bytes.
    pub offset: usize,
    /// [`Encode::special`], for encoders that find special tokens themselves.
    pub special: bool,
}

impl Fragment<'_> {
    /// The token of `range` in this part.
    pub fn token(&self, id: u32, range: Range<usize>) -> Token {
        Token { id, start: self.offset + range.start, end: self.offset + range.end }
    }
}

/// What a loader makes of a file.
pub(super) struct Parts {
    /// The file's name, for messages.
    pub file: String,
    pub kind: Kind,
    pub pieces: Pieces,
    pub encoder: Box<dyn Encoder>,
    /// Whether special tokens are cut out before the encoder sees the text.
    pub cuts_specials: bool,
    pub spelling: Spelling,
    pub ids: SpecialIds,
    /// End tokens beyond `ids.eos`, `ids.eot` and those known by name.
    pub end_ids: Vec<u32>,
    /// What goes before and behind a text, if it is to be added.
    pub prefix: Vec<u32>,
    pub suffix: Vec<u32>,
    pub adds_prefix: bool,
    pub adds_suffix: bool,
    pub chat_template: Option<String>,
}

/// Pieces that end a generation where they are control tokens.
const END_PIECES: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
];

impl Parts {
    pub fn build(self) -> Tokenizer {
        // Unigram models have tokens such as `▁<extra_id_0>`: it is the encoder that sees `▁` for a blank.
        let found = |text: &str, class| match class {
            Class::Control | Class::Unknown => true,
            Class::UserDefined => self.kind != Kind::Unigram || !text.contains('▁'),
            _ => false,
        };
        let specials = match self.cuts_specials {
            true => Prefixes::new(
                self.pieces
                    .iter()
                    .filter(|(_, text, c)| found(text, *c))
                    .map(|(id, text, _)| (text.as_bytes(), id)),
            ),
            false => Prefixes::default(),
        };
        let control = |id: &u32| matches!(self.pieces.class(*id), Class::Control | Class::UserDefined);
        let mut ends: Vec<u32> =
            END_PIECES.iter().filter_map(|p| self.pieces.id(p)).filter(control).collect();
        // Harmony ends messages with `<|end|>` and replies with these two.
        if let (Some(_), Some(_), Some(end)) =
            (self.pieces.id("<|return|>"), self.pieces.id("<|call|>"), self.pieces.id("<|end|>"))
        {
            ends.retain(|&id| id != end);
        }
        ends.extend([self.ids.eos, self.ids.eot].into_iter().flatten());
        ends.extend(&self.end_ids);
        ends.retain(|&id| (id as usize) < self.pieces.len());
        ends.sort_unstable();
        ends.dedup();
        Tokenizer { parts: self, specials, end_ids: ends }
    }
}

impl Tokenizer {
    /// The ids of `text`.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<u32>> {
        Ok(self.encode_with_offsets(text, options)?.into_iter().map(|token| token.id).collect())
    }

    /// The tokens of `text`, each with the bytes it comes from.
    pub fn encode_with_offsets(&self, text: &str, options: Encode) -> Result<Vec<Token>> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::Text(format!("the text is too long: {} bytes, at most 4 GiB", text.len())));
        }
        let mut tokens = Vec::with_capacity(text.len() / 4 + 2);
        let parts = &self.parts;
        let added = |ids: &[u32], wanted: Option<bool>, default: bool, name: &str| match (wanted, ids) {
            (Some(true), []) => {
                Err(Error::Input(format!("{}: the tokenizer names no {name} token to add", parts.file)))
            }
            (wanted, ids) => Ok(if wanted.unwrap_or(default) { ids.to_vec() } else { vec![] }),
        };
        let prefix = added(&parts.prefix, options.bos, parts.adds_prefix, "bos")?;
        let suffix = added(&parts.suffix, options.eos, parts.adds_suffix, "eos")?;
        tokens.extend(prefix.into_iter().map(|id| Token { id, start: 0, end: 0 }));

        let fragment = |range: Range<usize>, tokens: &mut Vec<Token>| match range.is_empty() {
            true => Ok(()),
            false => {
                let (offset, special) = (range.start, options.special);
                parts.encoder.encode(&Fragment { text: &text[range], offset, special }, tokens)
            }
        };
        let mut done = 0;
        let mut at = 0;
        while at < text.len() && !self.specials.is_empty() {
            let Some((length, id)) = self.special_at(&text.as_bytes()[at..], options.special) else {
                at += 1;
                continue;
            };
            fragment(done..at, &mut tokens)?;
            tokens.push(Token { id, start: at, end: at + length });
            at += length;
            done = at;
        }
        fragment(done..text.len(), &mut tokens)?;
        tokens.extend(suffix.into_iter().map(|id| Token { id, start: text.len(), end: text.len() }));
        Ok(tokens)
    }

    /// The longest special token that `text` starts with.
    fn special_at(&self, text: &[u8], control: bool) -> Option<(usize, u32)> {
        let mut longest = None;
        self.specials.each_prefix(text, |length, id| {
            if control || self.parts.pieces.class(id) == Class::UserDefined {
                longest = Some((length, id));
            }
        });
        longest
    }

    /// The text of `ids`, without control tokens. Ids outside the vocabulary and bytes that are no character
    /// become replacement characters.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_with(ids, Decode::default())
    }

    pub fn decode_with(&self, ids: &[u32], options: Decode) -> String {
        let mut stream = DecodeStream::new(self, options);
        let mut text = String::new();
        for &id in ids {
            stream.push_to(id, &mut text);
        }
        text.extend(stream.finish());
        text
    }

    /// Decodes ids as they come. [`DecodeStream::new`] makes one that owns an `Arc<Tokenizer>`.
    pub fn decode_stream(&self, options: Decode) -> DecodeStream<&Tokenizer> {
        DecodeStream::new(self, options)
    }

    /// The text of a token as its file stores it.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.parts.pieces.text(id)
    }

    /// The bytes that a token stands for behind other text: nothing for control tokens and unknown ids.
    pub fn piece_bytes(&self, id: u32) -> Vec<u8> {
        match self.is_special(id) || self.piece(id).is_none() {
            true => vec![],
            false => self.spelled(id, false),
        }
    }

    /// The token whose piece is `piece`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.parts.pieces.id(piece)
    }

    pub(super) fn spelled(&self, id: u32, at_start: bool) -> Vec<u8> {
        let Some(piece) = self.piece(id) else { return "\u{fffd}".into() };
        self.parts.spelling.bytes(piece, self.parts.pieces.class(id), at_start).into_owned()
    }

    /// How many ids there are; a model's output may have more rows, which are padding.
    pub fn n_vocab(&self) -> usize {
        self.parts.pieces.len()
    }

    pub fn kind(&self) -> Kind {
        self.parts.kind
    }

    pub fn class(&self, id: u32) -> Class {
        self.parts.pieces.class(id)
    }

    /// A control token: decoding leaves it out.
    pub fn is_special(&self, id: u32) -> bool {
        self.parts.pieces.class(id) == Class::Control
    }

    pub fn special_ids(&self) -> SpecialIds {
        self.parts.ids
    }

    pub fn bos(&self) -> Option<u32> {
        self.parts.ids.bos
    }

    pub fn eos(&self) -> Option<u32> {
        self.parts.ids.eos
    }

    pub fn unk(&self) -> Option<u32> {
        self.parts.ids.unk
    }

    pub fn pad(&self) -> Option<u32> {
        self.parts.ids.pad
    }

    pub fn sep(&self) -> Option<u32> {
        self.parts.ids.sep
    }

    pub fn cls(&self) -> Option<u32> {
        self.parts.ids.cls
    }

    pub fn mask(&self) -> Option<u32> {
        self.parts.ids.mask
    }

    /// Every token that ends a generation, in rising order: eos, end of turn, and what is known by name.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// Whether encoding puts a bos token (or `[CLS]`) before the text by default.
    pub fn adds_bos(&self) -> bool {
        self.parts.adds_prefix && !self.parts.prefix.is_empty()
    }

    /// Whether encoding puts an eos token (or `[SEP]`) behind the text by default.
    pub fn adds_eos(&self) -> bool {
        self.parts.adds_suffix && !self.parts.suffix.is_empty()
    }

    /// The source of the chat template that came with the vocabulary.
    pub fn chat_template(&self) -> Option<&str> {
        self.parts.chat_template.as_deref()
    }

    pub(super) fn into_parts(self) -> Parts {
        self.parts
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {:?}, {} tokens)", self.parts.file, self.parts.kind, self.n_vocab())
    }
}

/// Runs code of the `tokenizers` crate, which panics on some inputs that its own checks miss.
pub(super) fn guarded<T>(what: &str, run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| Error::Text(shortened(format!("{what}: {error}")))),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Error::Text(format!("{what}: the tokenizer library failed: {message}")))
        }
    }
}
