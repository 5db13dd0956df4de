//! What must hold of a `tokenizer.json` before the `tokenizers` crate may see it.

use std::collections::HashSet;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::charsmap::Charsmap;
use crate::text::tiktoken::base64;

/// Ids may leave gaps, but a table of all ids must stay in proportion to the file.
pub const N_GAPS_MAX: u64 = 1 << 20;

/// Words of more characters than this are unknown in every vocabulary (BERT has 100).
const N_WORD_CHARS_MAX: u64 = 1000;
/// Normalisers may make a text this many times as long.
const GROWTH_MAX: u64 = 256;

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
    // Old files leave the type out; the crate would try one after the other.
    if let (None, Some(kind)) = (model.get("type"), kind_by_shape(model)) {
        model.insert("type".into(), kind.into());
    }
    check_model(&json["model"])
        .and_then(|()| check_ids(json))
        .and_then(|()| {
            let mut growth = 1;
            PARTS.iter().try_for_each(|part| check_steps(part, &json[*part], 0, &mut growth))
        })
        .map_err(wrong)
}

/// The parts of a file that are a step, a sequence of steps, or null.
const PARTS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];

fn kind_by_shape(model: &serde_json::Map<String, Value>) -> Option<&'static str> {
    match model.get("vocab")? {
        Value::Array(_) => Some("Unigram"),
        Value::Object(_) if model.contains_key("merges") => Some("BPE"),
        Value::Object(_) if model.contains_key("continuing_subword_prefix") => Some("WordPiece"),
        Value::Object(_) => Some("WordLevel"),
        _ => None,
    }
}

fn check_model(model: &Value) -> Result<(), String> {
    match (model["type"].as_str(), &model["vocab"]) {
        (Some("BPE"), Value::Object(_)) => match model["merges"].as_array() {
            Some(merges) => check_bpe(model, merges),
            None => Err("its BPE model has no list of merges".to_owned()),
        },
        (Some("WordPiece" | "WordLevel"), Value::Object(_)) => check_words(model),
        (Some("Unigram"), Value::Array(_)) => check_unigram(model),
        (Some("BPE" | "WordPiece" | "WordLevel" | "Unigram"), _) | (None, _) => {
            Err("its model has no vocabulary".to_owned())
        }
        (Some(other), _) => {
            Err(format!("its model is {other:?}; known are BPE, WordPiece, WordLevel, Unigram"))
        }
    }
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
    // Cutting a word takes time by the square of its length; longer ones are unknown.
    match model["max_input_chars_per_word"].as_u64() {
        Some(n) if n > N_WORD_CHARS_MAX => {
            Err(format!("max_input_chars_per_word: expected at most {N_WORD_CHARS_MAX}, found {n}"))
        }
        _ => check_unknown(model, &vocabulary(model)),
    }
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
            return Err(format!("merge {rank}: expected two pieces, found {}", short(merge)));
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
        return Err(format!("token {id}: expected a piece and its score, found {}", short(&list[id])));
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

/// Checks one of [`PARTS`] and, in a sequence, each of its steps. `growth` is how many times as long a text
/// may be by now.
fn check_steps(part: &str, step: &Value, depth: usize, growth: &mut u64) -> Result<(), String> {
    if step.is_null() {
        return Ok(());
    }
    // The file's own parser allows 128 levels of brackets.
    if depth > 128 {
        return Err(format!("{part}: nested too deep"));
    }
    // Without a type the crate would guess, past what is checked here.
    let Some(kind) = step["type"].as_str() else {
        return Err(format!("{part}: expected an object with a type, found {}", short(step)));
    };
    match kind {
        "Sequence" => {
            let lists = ["normalizers", "pretokenizers", "processors", "decoders"];
            let mut inner = lists.iter().filter_map(|list| step[*list].as_array()).flatten();
            inner.try_for_each(|step| check_steps(part, step, depth + 1, growth))
        }
        "Precompiled" => {
            let text = step["precompiled_charsmap"].as_str().unwrap_or("");
            let bytes = base64(text).ok_or("the normalisation table is not base64")?;
            Charsmap::new("", &bytes).and_then(|map| map.check()).map_err(|error| match error {
                Error::File { message, .. } => message,
                other => other.to_string(),
            })
        }
        "TemplateProcessing" => check_template(step),
        "FixedLength" if step["length"].as_u64() == Some(0) => {
            Err("a pre-tokenizer cuts into parts of length 0".into())
        }
        "Replace" | "Prepend" if part == "normalizer" => {
            let content = step["content"].as_str().or(step["prepend"].as_str()).unwrap_or("").len() as u64;
            let replaced = step["pattern"]["String"].as_str().map_or(1, |text| text.len().max(1) as u64);
            *growth = growth.saturating_mul(content.div_ceil(replaced).max(1));
            match *growth > GROWTH_MAX {
                true => Err(format!(
                    "its normalisers could make a text {growth} times as long, at most {GROWTH_MAX} are allowed"
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A template for one text holds special tokens that are explained below it, and the text.
fn check_template(step: &Value) -> Result<(), String> {
    for (list, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"][..])] {
        for piece in step[list].as_array().into_iter().flatten() {
            let special = piece["SpecialToken"]["id"].as_str();
            let sequence = piece["Sequence"]["id"].as_str();
            let known = match (special, sequence) {
                (Some(name), None) => step["special_tokens"].get(name).is_some(),
                (None, Some(name)) => sequences.contains(&name),
                _ => false,
            };
            if !known {
                return Err(format!("post_processor: {list}: unexpected {}", short(piece)));
            }
        }
    }
    Ok(())
}

/// The beginning of a value, for messages.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
