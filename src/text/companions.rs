//! The files beside a vocabulary: which tokens have a role, what ends a generation, the chat template.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::pieces::{Class, Pieces};
use crate::text::tokenizer::{Parts, SpecialIds, Tokenizer};

/// The contents of the files beside a vocabulary, where they exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct Companions<'a> {
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`
    pub special_tokens_map: Option<&'a [u8]>,
    /// `generation_config.json`
    pub generation_config: Option<&'a [u8]>,
    /// `chat_template.jinja`
    pub chat_template: Option<&'a str>,
}

impl Tokenizer {
    /// Takes over what the companion files say.
    pub fn with_companions(self, companions: &Companions<'_>) -> Result<Tokenizer> {
        let mut parts = self.into_parts();
        if let Some(bytes) = companions.special_tokens_map {
            let json = parse(bytes, "special_tokens_map.json")?;
            roles(&json, &mut parts);
        }
        if let Some(bytes) = companions.tokenizer_config {
            let json = parse(bytes, "tokenizer_config.json")?;
            mark_added(&json, &mut parts);
            roles(&json, &mut parts);
            frame(&json, &mut parts);
            parts.chat_template = template(&json["chat_template"]).or(parts.chat_template);
        }
        if let Some(bytes) = companions.generation_config {
            let json = parse(bytes, "generation_config.json")?;
            let ends = match &json["eos_token_id"] {
                Value::Array(ids) => ids.iter().filter_map(id).collect(),
                one => id(one).into_iter().collect::<Vec<u32>>(),
            };
            parts.ids.bos = parts.ids.bos.or(id(&json["bos_token_id"]).filter(|&id| parts.knows(id)));
            parts.ids.eos = parts.ids.eos.or(ends.first().copied().filter(|&id| parts.knows(id)));
            parts.end_ids.extend(ends);
        }
        if let Some(template) = companions.chat_template {
            parts.chat_template = Some(template.to_owned());
        }
        Ok(parts.build())
    }
}

impl Parts {
    fn knows(&self, id: u32) -> bool {
        self.pieces.text(id).is_some()
    }
}

fn parse(bytes: &[u8], file: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::file(file, format!("not JSON: {error}")))
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A token is named by its piece, or by an object that holds it.
fn name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

fn roles(json: &Value, parts: &mut Parts) {
    let ids = &mut parts.ids;
    for (key, role) in [
        ("bos_token", &mut ids.bos),
        ("eos_token", &mut ids.eos),
        ("unk_token", &mut ids.unk),
        ("sep_token", &mut ids.sep),
        ("pad_token", &mut ids.pad),
        ("cls_token", &mut ids.cls),
        ("mask_token", &mut ids.mask),
    ] {
        if let Some(id) = name(&json[key]).and_then(|piece| parts.pieces.id(piece)) {
            *role = Some(id);
        }
    }
}

/// Loaders of bare vocabularies do not know which pieces are special; this file does.
fn mark_added(json: &Value, parts: &mut Parts) {
    for (key, token) in json["added_tokens_decoder"].as_object().into_iter().flatten() {
        let Ok(id) = key.parse::<u32>() else { continue };
        if parts.pieces.text(id) == name(token) {
            let special = token["special"].as_bool().unwrap_or(false);
            parts.pieces.set_class(id, if special { Class::Control } else { Class::UserDefined });
        }
    }
}

/// `add_bos_token` and `add_eos_token` win over what the vocabulary file does by itself.
fn frame(json: &Value, parts: &mut Parts) {
    let ids = parts.ids;
    for (key, token, frame, adds) in [
        ("add_bos_token", ids.bos, &mut parts.prefix, &mut parts.adds_prefix),
        ("add_eos_token", ids.eos, &mut parts.suffix, &mut parts.adds_suffix),
    ] {
        if frame.is_empty() {
            frame.extend(token);
        }
        if let Some(wanted) = json[key].as_bool() {
            *adds = wanted;
        }
    }
}

/// One template, or a list of named ones of which `default` counts.
fn template(value: &Value) -> Option<String> {
    let source = match value {
        Value::Array(list) => {
            &list.iter().find(|entry| entry["name"] == "default").or(list.first())?["template"]
        }
        one => one,
    };
    source.as_str().map(str::to_owned)
}

/// Roles by the names that models use, for vocabularies that say nothing about them.
pub(super) fn ids_by_name(pieces: &Pieces) -> SpecialIds {
    // Vocabularies of web text have an `</s>` of their own, which ends nothing.
    let role = |id: &u32| matches!(pieces.class(*id), Class::Control | Class::Unknown);
    let first = |names: &[&str]| names.iter().filter_map(|name| pieces.id(name)).find(role);
    SpecialIds {
        bos: first(&["<s>", "<bos>", "<|begin_of_text|>", "<｜begin▁of▁sentence｜>", "<BOS_TOKEN>"]),
        eos: first(&["</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "<｜end▁of▁sentence｜>"]),
        eot: first(&["<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|end|>"]),
        unk: first(&["<unk>", "[UNK]"]),
        sep: first(&["[SEP]"]),
        pad: first(&["<pad>", "[PAD]"]),
        cls: first(&["[CLS]"]),
        mask: first(&["<mask>", "[MASK]"]),
    }
}
