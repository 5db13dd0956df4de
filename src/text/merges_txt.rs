//! `vocab.json` and `merges.txt`: byte-level BPE as GPT-2 and RoBERTa store it.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::byte_bpe::{ByteBpe, bytes_of};
use crate::text::companions::ids_by_name;
use crate::text::decode::Spelling;
use crate::text::hub_check::N_GAPS_MAX;
use crate::text::pieces::{Class, Pieces};
use crate::text::pre::PreTokenizer;
use crate::text::tokenizer::{Kind, Parts, Tokenizer};

impl Tokenizer {
    /// Reads a `vocab.json` (pieces to ids) and a `merges.txt` (a pair per line, best first). They say nothing
    /// of the pre-tokenizer (`gpt-2` for GPT-2 and RoBERTa).
    pub fn from_vocab_and_merges(vocab: &[u8], merges: &[u8], file: &str, pre: &str) -> Result<Tokenizer> {
        let wrong = |message: String| Error::file(file, message);
        let json: Value =
            serde_json::from_slice(vocab).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let Some(map) = json.as_object() else { return Err(wrong("expected an object of pieces".into())) };
        if map.keys().any(|piece| piece.ends_with("</w>")) {
            let message =
                format!("{file}: pieces end in </w>: a BPE of words, not of bytes, is not supported");
            return Err(Error::Unsupported(message));
        }
        let limit = 2 * map.len() as u64 + N_GAPS_MAX;
        let mut pieces: Vec<(String, Class)> = vec![];
        for (piece, id) in map {
            let Some(id) = id.as_u64().filter(|&id| id < limit) else {
                return Err(wrong(format!("token {piece:?}: expected an id below {limit}, found {id}")));
            };
            let id = id as usize;
            if pieces.len() <= id {
                pieces.resize(id + 1, (String::new(), Class::Unused));
            }
            // RoBERTa's `<mask>` and GPT-2's `<|endoftext|>` are made by no merge.
            let special = piece.len() > 2 && piece.starts_with('<') && piece.ends_with('>');
            let class = match bytes_of(piece) {
                Some(_) if !special => Class::Normal,
                _ => Class::Control,
            };
            pieces[id] = (piece.clone(), class);
        }
        let merges = std::str::from_utf8(merges).map_err(|error| wrong(error.to_string()))?;
        let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
        let merges: Vec<String> = lines.map(str::to_owned).collect();
        for line in &merges {
            let joined = line.replace(' ', "");
            // What a merge makes is text, whatever it looks like.
            if let Some(id) = map.get(&joined).and_then(Value::as_u64) {
                pieces[id as usize].1 = Class::Normal;
            }
        }
        let pieces = Pieces::new(file, pieces)?;
        let encoder = ByteBpe::from_merges(file, &pieces, &merges, PreTokenizer::named(pre)?)?;
        let ids = ids_by_name(&pieces);
        let roberta = ids.bos.is_some() && pieces.id("</s>").is_some();
        let parts = Parts {
            file: file.to_owned(),
            kind: Kind::ByteBpe,
            pieces,
            encoder: Box::new(encoder),
            cuts_specials: true,
            spelling: Spelling::Bytes,
            ids,
            end_ids: vec![],
            prefix: ids.bos.into_iter().collect(),
            suffix: ids.eos.into_iter().collect(),
            adds_prefix: roberta,
            adds_suffix: roberta,
            chat_template: None,
        };
        Ok(parts.build())
    }
}
