//! Tokenizers from the metadata of a GGUF file (`tokenizer.*`).
//!
//! Defaults where a key is missing are those of the program that defined the format, llama.cpp.

use crate::error::{Error, Result};
use crate::text::byte_bpe::ByteBpe;
use crate::text::charsmap::Charsmap;
use crate::text::decode::Spelling;
use crate::text::pieces::{Class, Pieces};
use crate::text::pre::PreTokenizer;
use crate::text::prefixes::Prefixes;
use crate::text::sentencepiece::{Cut, Normalizer, SentencePiece};
use crate::text::tokenizer::{Encoder, Kind, Parts, SpecialIds, Tokenizer};
use crate::text::wordpiece::{WordPiece, WordPieceOptions};

/// What a GGUF file says about its tokenizer; the key of each field is named. `None` and empty lists stand
/// for missing keys.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2`, `llama`, `gemma4`, `bert` or `t5`.
    pub model: String,
    /// `tokenizer.ggml.pre`
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`
    pub eom: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`
    pub unk: Option<u32>,
    /// `tokenizer.ggml.seperator_token_id` (sic)
    pub sep: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`
    pub pad: Option<u32>,
    /// `tokenizer.ggml.cls_token_id`
    pub cls: Option<u32>,
    /// `tokenizer.ggml.mask_token_id`
    pub mask: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_sep_token`
    pub add_sep: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`
    pub precompiled_charsmap: Vec<u8>,
    /// `tokenizer.ggml.normalizer.lowercase`
    pub lowercase: Option<bool>,
    /// `tokenizer.ggml.normalizer.strip_accents`
    pub strip_accents: Option<bool>,
    /// `tokenizer.chat_template`
    pub chat_template: Option<String>,
    /// No key: whether a Unigram model is to do exactly what the SentencePiece program does, which differs
    /// from llama.cpp in the precision of sums and in tokens that users added.
    pub as_sentencepiece: bool,
}

impl Tokenizer {
    /// The tokenizer of a GGUF file; `file` is its name, for messages.
    pub fn from_parts(vocab: GgufVocab, file: &str) -> Result<Tokenizer> {
        check_ids(&vocab, file)?;
        let chat_template = vocab.chat_template.clone();
        let parts = match vocab.model.as_str() {
            "gpt2" => byte_bpe(vocab, file),
            "llama" | "gemma4" => sentencepiece(vocab, file),
            "t5" => unigram(vocab, file),
            "bert" => wordpiece(vocab, file),
            model => {
                let message = format!(
                    "tokenizer model {model:?} is not known; known are gpt2, llama, gemma4, bert, t5"
                );
                Err(Error::Unsupported(format!("{file}: {message}")))
            }
        }?;
        Ok(Parts { chat_template, ..parts }.build())
    }
}

fn check_ids(vocab: &GgufVocab, file: &str) -> Result<()> {
    let n_tokens = vocab.tokens.len();
    let ids = [
        ("bos", vocab.bos),
        ("eos", vocab.eos),
        ("eot", vocab.eot),
        ("eom", vocab.eom),
        ("unknown", vocab.unk),
        ("separator", vocab.sep),
        ("padding", vocab.pad),
        ("cls", vocab.cls),
        ("mask", vocab.mask),
    ];
    for (name, id) in ids {
        if let Some(id) = id.filter(|&id| id as usize >= n_tokens) {
            return Err(Error::file(
                file,
                format!("the {name} token is {id}, but there are {n_tokens} tokens"),
            ));
        }
    }
    if !vocab.token_types.is_empty() && vocab.token_types.len() < n_tokens {
        let message =
            format!("expected a type for each of {n_tokens} tokens, found {}", vocab.token_types.len());
        return Err(Error::file(file, message));
    }
    Ok(())
}

fn pieces(vocab: &mut GgufVocab, file: &str) -> Result<Pieces> {
    let types = std::mem::take(&mut vocab.token_types);
    let class = |id: usize| match types.get(id) {
        Some(2) => Class::Unknown,
        Some(3) => Class::Control,
        Some(4) => Class::UserDefined,
        Some(5) => Class::Unused,
        Some(6) => Class::Byte,
        _ => Class::Normal,
    };
    let tokens = std::mem::take(&mut vocab.tokens);
    Pieces::new(file, tokens.into_iter().enumerate().map(|(id, text)| (text, class(id))))
}

/// The ids that the file names, and the frame around texts that follows from them.
fn frame(
    vocab: &GgufVocab,
    file: &str,
    kind: Kind,
    pieces: Pieces,
    encoder: Box<dyn Encoder>,
    spelling: Spelling,
) -> Parts {
    Parts {
        file: file.to_owned(),
        kind,
        pieces,
        encoder,
        cuts_specials: true,
        spelling,
        ids: SpecialIds {
            bos: vocab.bos,
            eos: vocab.eos,
            eot: vocab.eot,
            unk: vocab.unk,
            sep: vocab.sep,
            pad: vocab.pad,
            cls: vocab.cls,
            mask: vocab.mask,
        },
        end_ids: vocab.eom.into_iter().collect(),
        prefix: vocab.bos.into_iter().collect(),
        suffix: vocab.eos.into_iter().collect(),
        adds_prefix: vocab.add_bos.unwrap_or(false),
        adds_suffix: vocab.add_eos.unwrap_or(false),
        chat_template: None,
    }
}

fn byte_bpe(mut vocab: GgufVocab, file: &str) -> Result<Parts> {
    let pre = PreTokenizer::named(vocab.pre.as_deref().unwrap_or("default"))?;
    let pieces = pieces(&mut vocab, file)?;
    vocab.add_bos = vocab.add_bos.or(Some(pre.adds_bos));
    let encoder = ByteBpe::from_merges(file, &pieces, &vocab.merges, pre)?;
    let mut parts = frame(&vocab, file, Kind::ByteBpe, pieces, Box::new(encoder), Spelling::Bytes);
    if vocab.add_sep == Some(true) && vocab.add_eos.is_none() {
        parts.suffix = vocab.sep.into_iter().collect();
        parts.adds_suffix = true;
    }
    Ok(parts)
}

/// `llama` files hold scores; `gemma4` files hold merges.
fn sentencepiece(mut vocab: GgufVocab, file: &str) -> Result<Parts> {
    let pieces = pieces(&mut vocab, file)?;
    let by_merges = vocab.model == "gemma4";
    let cut = match by_merges {
        true => Cut::by_merges(file, &pieces, &vocab.merges)?,
        false => Cut::by_score(file, &pieces, &vocab.scores)?,
    };
    let prefix = vocab.add_space_prefix.unwrap_or(!by_merges);
    let normalizer = normalizer(&vocab, file, prefix, false)?;
    if !by_merges {
        let special =
            |id: u32| Some(id).filter(|&id| !matches!(pieces.class(id), Class::Normal | Class::Byte));
        vocab.unk = vocab.unk.or(special(0));
        vocab.bos = vocab.bos.or(special(1));
        vocab.eos = vocab.eos.or(special(2));
    }
    vocab.add_bos = vocab.add_bos.or(Some(true));
    let encoder = SentencePiece { normalizer, cut, bytes: pieces.byte_tokens(), unknown: vocab.unk };
    Ok(frame(&vocab, file, Kind::SentencePieceBpe, pieces, Box::new(encoder), Spelling::Blanks { prefix }))
}

fn unigram(mut vocab: GgufVocab, file: &str) -> Result<Parts> {
    let pieces = pieces(&mut vocab, file)?;
    let cut = Cut::unigram(file, &pieces, &vocab.scores, vocab.as_sentencepiece)?;
    let prefix = vocab.add_space_prefix.unwrap_or(true);
    let mut normalizer = normalizer(&vocab, file, prefix, true)?;
    if vocab.as_sentencepiece {
        let added = pieces.iter().filter(|(.., class)| *class == Class::UserDefined);
        normalizer.kept = Prefixes::new(added.map(|(id, text, _)| (text.as_bytes(), id)));
    }
    // T5 files leave these out.
    let named = |id: Option<u32>, name: &str| id.or_else(|| pieces.id(name));
    vocab.unk = named(vocab.unk, "<unk>");
    vocab.eos = named(vocab.eos, "</s>");
    vocab.pad = named(vocab.pad, "<pad>");
    vocab.add_eos = vocab.add_eos.or(Some(true));
    let encoder = SentencePiece { normalizer, cut, bytes: pieces.byte_tokens(), unknown: vocab.unk };
    Ok(frame(&vocab, file, Kind::Unigram, pieces, Box::new(encoder), Spelling::Blanks { prefix }))
}

fn normalizer(vocab: &GgufVocab, file: &str, add_space_prefix: bool, removes: bool) -> Result<Normalizer> {
    let charsmap = match vocab.precompiled_charsmap.is_empty() {
        true => None,
        false => Some(Charsmap::new(file, &vocab.precompiled_charsmap)?),
    };
    let remove_extra_whitespaces = vocab.remove_extra_whitespaces.unwrap_or(removes);
    Ok(Normalizer { charsmap, add_space_prefix, remove_extra_whitespaces, kept: Prefixes::default() })
}

fn wordpiece(mut vocab: GgufVocab, file: &str) -> Result<Parts> {
    let pieces = pieces(&mut vocab, file)?;
    let named = |id: Option<u32>, name: &str| id.or_else(|| pieces.id(name));
    vocab.cls = named(vocab.cls.or(vocab.bos), "[CLS]");
    vocab.sep = named(vocab.sep.or(vocab.eos), "[SEP]");
    vocab.unk = named(vocab.unk, "[UNK]");
    vocab.pad = named(vocab.pad, "[PAD]");
    vocab.mask = named(vocab.mask, "[MASK]");
    let lowercase = vocab.lowercase.unwrap_or(true);
    let options = WordPieceOptions { lowercase, strip_accents: vocab.strip_accents.unwrap_or(lowercase) };

    // The format marks the starts of words with `▁`; BERT marks continuations with `##`.
    let marked_starts = pieces.iter().any(|(_, text, class)| class == Class::Normal && text.starts_with('▁'));
    let bert = |(id, text, class): (u32, &str, Class)| {
        let name = match (marked_starts && class == Class::Normal, text.strip_prefix('▁')) {
            (true, Some(start)) => start.to_owned(),
            (true, None) => format!("##{text}"),
            (false, _) => text.to_owned(),
        };
        (name, id)
    };
    let Some(unknown) = vocab.unk.and_then(|id| pieces.text(id)).map(str::to_owned) else {
        return Err(Error::file(file, "a bert tokenizer needs an unknown token; the file names none"));
    };
    let encoder = WordPiece::new(file, pieces.iter().map(bert), &unknown, options)?;
    let spelling = Spelling::Words { marked_starts, cleanup: true };
    let parts = frame(&vocab, file, Kind::WordPiece, pieces, Box::new(encoder), spelling);
    Ok(Parts {
        prefix: vocab.cls.into_iter().collect(),
        suffix: vocab.sep.into_iter().collect(),
        adds_prefix: vocab.add_bos.unwrap_or(true),
        adds_suffix: vocab.add_sep.or(vocab.add_eos).unwrap_or(true),
        ..parts
    })
}
