//! What must hold of a `tokenizer.json` before the `tokenizers` crate may see it.

use std::collections::HashSet;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::charsmap::Charsmap;
use crate::text::tiktoken::base64;

/// Ids may leave gaps, but a table of all ids must stay in proportion to the file.
pub const N_GAPS_MAX: u64 = 1 << 20;

/// Checks `json` and switches off what would make encoding cut, pad or guess.
pub fn check(json: &mut Value, file: &str) -> Result<()> {
    let wrong = |message: String| Error::file(file, message);
    let Some(top) = json.as_object_mut() else {
        return Err(wrong("not a tokenizer.json: expected an object".into()));
    };
    top.insert("truncation".into(), Value::Null);
    top.insert("padding".into(), Value::Null);
    let Some(model) = top.get_mut("model").and_then(Value::as_object_mut) else {
        return Err(wrong("not a tokenizer.json: it has no model".into()));
    };
    // Dropout makes encoding random: it is for training.
    if model.contains_key("dropout") {
        model.insert("dropout".into(), Value::Null);
    }
    let model = &json["model"];
    let checked = match (&model["vocab"], model["merges"].as_array()) {
        (Value::Object(_), Some(merges)) => check_bpe(model, merges),
        (Value::Object(_), None) => check_words(model),
        (Value::Array(_), _) => check_unigram(model),
        _ => Err("its model has no vocabulary".to_owned()),
    };
    checked
        .and_then(|()| check_ids(json))
        .and_then(|()| check_steps(&json["normalizer"], 0))
        .and_then(|()| check_steps(&json["pre_tokenizer"], 0))
        .map_err(wrong)
}

fn vocabulary(model: &Value) -> HashSet<&str> {
    model["vocab"].as_object().into_iter().flatten().map(|(piece, _)| piece.as_str()).collect()
}

fn check_unknown(model: &Value, pieces: &HashSet<&str>) -> Result<(), String> {
    match model["unk_token"].as_str() {
        Some(unknown) if !pieces.contains(unknown) => {
            Err(format!("the unknown token {unknown:?} is not in the vocabulary"))
        }
        _ => Ok(()),
    }
}

fn check_words(model: &Value) -> Result<(), String> {
    check_unknown(model, &vocabulary(model))
}

fn check_bpe(model: &Value, merges: &[Value]) -> Result<(), String> {
    let pieces = vocabulary(model);
    check_unknown(model, &pieces)?;
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("");
    for (rank, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(line) => line.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
            _ => None,
        };
        let Some((left, right)) = pair else {
            return Err(format!("merge {rank}: expected two pieces, found {merge}"));
        };
        let known = |piece: &str| match pieces.contains(piece) {
            true => Ok(()),
            false => Err(format!("merge {rank}: {piece:?} is not in the vocabulary")),
        };
        known(left)?;
        known(right)?;
        // The crate cuts this many bytes off, whatever they are.
        match right.get(prefix.len()..) {
            Some(rest) => known(&format!("{left}{rest}"))?,
            None => return Err(format!("merge {rank}: {right:?} is shorter than the prefix {prefix:?}")),
        }
    }
    Ok(())
}

fn check_unigram(model: &Value) -> Result<(), String> {
    let list = model["vocab"].as_array().map(Vec::as_slice).unwrap_or_default();
    let whole = |entry: &Value| entry[0].is_string() && entry[1].as_f64().is_some_and(f64::is_finite);
    if let Some(id) = list.iter().position(|entry| !whole(entry)) {
        return Err(format!("token {id}: expected a piece and its score, found {}", list[id]));
    }
    match &model["unk_id"] {
        Value::Null => Ok(()),
        id if id.as_u64().is_some_and(|id| id < list.len() as u64) => Ok(()),
        id => Err(format!("the unknown token is {id}, but there are {} tokens", list.len())),
    }
}

fn check_ids(json: &Value) -> Result<(), String> {
    let vocab = json["model"]["vocab"].as_object();
    let added = json["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let n_tokens = vocab.map_or(0, |v| v.len()) + added.len();
    let limit = 2 * n_tokens as u64 + N_GAPS_MAX;
    let ids = vocab.into_iter().flatten().map(|(piece, id)| (piece.as_str(), id));
    let added = added.iter().map(|token| (token["content"].as_str().unwrap_or("?"), &token["id"]));
    for (piece, id) in ids.chain(added) {
        if id.as_u64().is_none_or(|id| id >= limit) {
            return Err(format!("token {piece:?}: expected an id below {limit}, found {id}"));
        }
    }
    Ok(())
}

/// Checks a normaliser or pre-tokenizer and, in a sequence, each of its steps.
fn check_steps(step: &Value, depth: usize) -> Result<(), String> {
    // The file's own parser allows 128 levels of brackets.
    if depth > 128 {
        return Err("normalizer: nested too deep".into());
    }
    match step["type"].as_str() {
        Some("Sequence") => {
            let inner = [&step["normalizers"], &step["pretokenizers"]];
            let mut inner = inner.iter().filter_map(|list| list.as_array()).flatten();
            inner.try_for_each(|step| check_steps(step, depth + 1))
        }
        Some("Precompiled") => {
            let text = step["precompiled_charsmap"].as_str().unwrap_or("");
            let bytes = base64(text).ok_or("the normalisation table is not base64")?;
            Charsmap::new("", &bytes).and_then(|map| map.check()).map_err(|error| match error {
                Error::File { message, .. } => message,
                other => other.to_string(),
            })
        }
        Some("FixedLength") if step["length"].as_u64() == Some(0) => {
            Err("a pre-tokenizer cuts into parts of length 0".into())
        }
        _ => Ok(()),
    }
}
