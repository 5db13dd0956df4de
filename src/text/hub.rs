//! `tokenizer.json`, read by its authors' crate.
//!
//! The file is checked first ([`super::hub_check`]): the crate trusts it and panics where it is wrong.
//! Truncation and padding are switched off: files carry the settings of some past training run, and with
//! them every text would have the same number of tokens.

use serde_json::Value;
use tokenizers::tokenizer::AddedVocabulary;
use tokenizers::{Model as _, OffsetType, PreTokenizer as _};

use crate::error::{Error, Result, shortened};
use crate::text::companions::ids_by_name;
use crate::text::decode::Spelling;
use crate::text::hub_check::check;
use crate::text::pieces::{Class, Pieces, byte_of};
use crate::text::tokenizer::{Encoder, Fragment, Kind, Parts, Token, Tokenizer, guarded};

struct Hub {
    tokenizer: tokenizers::Tokenizer,
    /// The added tokens without those that are special, for text in which they are plain text.
    plain: AddedVocabulary,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; `file` is its name, for messages. [`Tokenizer::with_companions`] adds what
    /// the files beside it say.
    pub fn from_json(bytes: &[u8], file: &str) -> Result<Tokenizer> {
        let mut json: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::file(file, format!("not a tokenizer.json: {error}")))?;
        check(&mut json, file)?;
        let spelling = spelling(&json, file)?;
        let kind = kind(&json, spelling);
        let n_ids = n_ids(&json);
        let checked = serde_json::to_vec(&json).map_err(|error| Error::file(file, error.to_string()))?;
        let tokenizer = guarded(file, || tokenizers::Tokenizer::from_bytes(&checked))?;

        let added = tokenizer.get_added_tokens_decoder();
        check_added(&json, &tokenizer, file)?;
        let piece = |id: u32| {
            let text = tokenizer.id_to_token(id).unwrap_or_default();
            let class = match added.get(&id) {
                Some(token) if token.special => Class::Control,
                Some(_) => Class::UserDefined,
                None if matches!(spelling, Spelling::Blanks { .. }) && byte_of(&text).is_some() => {
                    Class::Byte
                }
                None if text.is_empty() => Class::Unused,
                None => Class::Normal,
            };
            (text, class)
        };
        let pieces = Pieces::new(file, (0..n_ids).map(piece))?;
        let (prefix, suffix) = frame(&tokenizer, file)?;
        if let Some(id) = prefix.iter().chain(&suffix).find(|&&id| id >= n_ids) {
            let message = format!("its post-processor adds token {id}, but there are {n_ids} tokens");
            return Err(Error::file(file, message));
        }
        let mut plain = tokenizer.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let parts = Parts {
            file: file.to_owned(),
            kind,
            ids: ids_by_name(&pieces),
            pieces,
            encoder: Box::new(Hub { tokenizer, plain }),
            cuts_specials: false,
            spelling,
            end_ids: vec![],
            adds_prefix: !prefix.is_empty(),
            adds_suffix: !suffix.is_empty(),
            prefix,
            suffix,
            chat_template: None,
        };
        Ok(parts.build())
    }
}

impl Encoder for Hub {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()> {
        let added = if fragment.special { self.tokenizer.get_added_vocabulary() } else { &self.plain };
        let encoding = guarded("tokenizer.json", || {
            let mut text = added.extract_and_normalize(self.tokenizer.get_normalizer(), fragment.text);
            if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut text)?;
            }
            text.tokenize(|part| self.tokenizer.get_model().tokenize(part.get()))?;
            text.into_encoding(None, 0, OffsetType::Byte)
        })?;
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        tokens.extend(ids.map(|(&id, &(start, end))| fragment.token(id, start..end)));
        Ok(())
    }
}

/// The crate numbers added tokens by itself where the vocabulary lacks them; the file must agree.
fn check_added(json: &Value, tokenizer: &tokenizers::Tokenizer, file: &str) -> Result<()> {
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or("");
        let (said, made) = (token["id"].as_u64(), tokenizer.token_to_id(content).map(u64::from));
        if made.is_some() && said != made {
            return Err(Error::file(
                file,
                format!(
                    "added token {content:?}: the file says id {}, its place in the vocabulary is {}",
                    said.unwrap_or_default(),
                    made.unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}

/// What the post-processor puts before and behind a text, learned from what it does to a short one.
fn frame(tokenizer: &tokenizers::Tokenizer, file: &str) -> Result<(Vec<u32>, Vec<u32>)> {
    let encoding = guarded(file, || tokenizer.encode("a", true))?;
    let added = |mask: &&u32| **mask == 1;
    let mask = encoding.get_special_tokens_mask();
    let ids = encoding.get_ids();
    let n_prefix = mask.iter().take_while(added).count();
    let n_suffix = mask[n_prefix..].iter().rev().take_while(added).count();
    Ok((ids[..n_prefix].to_vec(), ids[ids.len() - n_suffix..].to_vec()))
}

/// One more than the highest id; [`check`] has bounded it.
fn n_ids(json: &Value) -> u32 {
    let model = match &json["model"]["vocab"] {
        Value::Object(vocab) => vocab.values().filter_map(Value::as_u64).map(|id| id + 1).max(),
        Value::Array(vocab) => Some(vocab.len() as u64),
        _ => None,
    };
    let added = json["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|token| token["id"].as_u64()).map(|id| id + 1).max();
    model.max(added).unwrap_or(0) as u32
}

fn kind(json: &Value, spelling: Spelling) -> Kind {
    match json["model"]["type"].as_str() {
        Some("WordPiece") => Kind::WordPiece,
        Some("Unigram") => Kind::Unigram,
        Some("WordLevel") if single_characters(json) => Kind::Characters,
        Some("WordLevel") => Kind::Words,
        _ if spelling == Spelling::Bytes => Kind::ByteBpe,
        _ => Kind::SentencePieceBpe,
    }
}

/// Whether all pieces are single characters, but for the added ones.
fn single_characters(json: &Value) -> bool {
    let added: Vec<&str> =
        json["added_tokens"].as_array().into_iter().flatten().filter_map(|t| t["content"].as_str()).collect();
    let pieces = json["model"]["vocab"].as_object().into_iter().flatten();
    let mut pieces =
        pieces.map(|(piece, _)| piece.as_str()).filter(|piece| !added.contains(piece)).peekable();
    pieces.peek().is_some() && pieces.all(|piece| piece.chars().nth(1).is_none())
}

/// The steps of a part of the file that may be a sequence.
fn steps<'a>(part: &'a Value, list: &str) -> Vec<&'a Value> {
    match (part, part["type"].as_str()) {
        (Value::Null, _) => vec![],
        (_, Some("Sequence")) => {
            part[list].as_array().into_iter().flatten().flat_map(|inner| steps(inner, list)).collect()
        }
        _ => vec![part],
    }
}

/// What the file's decoder amounts to.
fn spelling(json: &Value, file: &str) -> Result<Spelling> {
    let decoders = steps(&json["decoder"], "decoders");
    let mut spelling = None;
    let mut strips = false;
    for decoder in &decoders {
        let name = decoder["type"].as_str().unwrap_or("without a type");
        match name {
            "ByteLevel" => spelling = Some(Spelling::Bytes),
            "WordPiece" if decoder["prefix"] == "##" => {
                let cleanup = decoder["cleanup"].as_bool().unwrap_or(true);
                spelling = Some(Spelling::Words { marked_starts: false, cleanup });
            }
            "Metaspace" if decoder["replacement"] == "▁" => {
                let never = decoder["prepend_scheme"] == "never" || decoder["add_prefix_space"] == false;
                spelling = Some(Spelling::Blanks { prefix: !never });
            }
            "Replace" if decoder["pattern"]["String"] == "▁" && decoder["content"] == " " => {
                spelling = Some(Spelling::Blanks { prefix: false });
            }
            "Strip" if decoder["content"] == " " && decoder["stop"] == 0 => {
                strips = decoder["start"].as_u64().is_some_and(|n_blanks| n_blanks > 0);
            }
            "ByteFallback" | "Fuse" => {}
            _ => {
                let message =
                    format!("{file}: decoder {name} with these settings is not supported: {decoder}");
                return Err(Error::Unsupported(shortened(message)));
            }
        }
    }
    let byte_level =
        || steps(&json["pre_tokenizer"], "pretokenizers").iter().any(|s| s["type"] == "ByteLevel");
    Ok(match spelling {
        Some(Spelling::Blanks { prefix }) => Spelling::Blanks { prefix: prefix || strips },
        Some(spelling) => spelling,
        None if byte_level() => Spelling::Bytes,
        None if decoders.is_empty() => Spelling::Spaced,
        None => Spelling::Plain,
    })
}
