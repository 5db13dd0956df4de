//! `vocab.txt`: a WordPiece vocabulary of BERT, a piece per line.

use crate::error::{Error, Result};
use crate::text::companions::ids_by_name;
use crate::text::decode::Spelling;
use crate::text::pieces::{Class, Pieces};
use crate::text::tokenizer::{Kind, Parts, Tokenizer};
use crate::text::wordpiece::{WordPiece, WordPieceOptions};

impl Tokenizer {
    /// Reads a `vocab.txt`. The id of a piece is its line, from 0; pieces in square brackets are control
    /// tokens. What is done to case and accents is not in this file but in `tokenizer_config.json`.
    pub fn from_vocab_txt(bytes: &[u8], file: &str, options: WordPieceOptions) -> Result<Tokenizer> {
        let text = std::str::from_utf8(bytes).map_err(|error| Error::file(file, error.to_string()))?;
        let class = |piece: &str| match piece {
            "[PAD]" | "[UNK]" | "[CLS]" | "[SEP]" | "[MASK]" => Class::Control,
            _ => Class::Normal,
        };
        let lines =
            text.strip_suffix('\n').unwrap_or(text).split('\n').map(|line| line.trim_end_matches('\r'));
        let pieces = Pieces::new(file, lines.map(|piece| (piece.to_owned(), class(piece))))?;
        let ids = ids_by_name(&pieces);
        let vocabulary = pieces.iter().map(|(id, piece, _)| (piece.to_owned(), id));
        let encoder = WordPiece::new(file, vocabulary, "[UNK]", options)?;
        let parts = Parts {
            file: file.to_owned(),
            kind: Kind::WordPiece,
            pieces,
            encoder: Box::new(encoder),
            cuts_specials: true,
            spelling: Spelling::Words { marked_starts: false, cleanup: true },
            ids,
            end_ids: vec![],
            prefix: ids.cls.into_iter().collect(),
            suffix: ids.sep.into_iter().collect(),
            adds_prefix: true,
            adds_suffix: true,
            chat_template: None,
        };
        Ok(parts.build())
    }
}
