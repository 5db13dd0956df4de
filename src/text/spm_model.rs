//! SentencePiece model files (`tokenizer.model`, `spiece.model`): a protocol buffer.
//!
//! Only the fields that tokenizing needs are read, by their numbers in `sentencepiece_model.proto`:
//!
//! ```text
//!  1 pieces, repeated: 1 piece, 2 score (f32), 3 type (as in GGUF: 1 normal ... 6 byte)
//!  2 trainer: 3 model type (1 unigram, 2 bpe), 40 unk, 41 bos, 42 eos, 43 pad ids (-1: none)
//!  3 normalizer: 2 table, 3 add dummy prefix, 4 remove extra whitespaces, 5 escape whitespaces
//! ```

use crate::error::{Error, Result};
use crate::text::gguf::GgufVocab;
use crate::text::tokenizer::Tokenizer;

impl Tokenizer {
    /// Reads a SentencePiece model of type Unigram or BPE. The file does not say whether texts begin with
    /// bos: models of the BPE type (Llama, Mistral) do, Unigram models without a bos token (T5) end with eos.
    pub fn from_sentencepiece(bytes: &[u8], file: &str) -> Result<Tokenizer> {
        let vocab = read(bytes).map_err(|message| Error::file(file, message))?;
        Tokenizer::from_parts(vocab, file)
    }
}

fn read(bytes: &[u8]) -> Result<GgufVocab, String> {
    let mut vocab = GgufVocab { as_sentencepiece: true, ..GgufVocab::default() };
    let mut model_type = 1;
    // Ids that the file leaves out have these values.
    let (mut unk, mut bos, mut eos, mut pad) = (0, 1, 2, -1);
    vocab.add_space_prefix = Some(true);
    vocab.remove_extra_whitespaces = Some(true);
    let mut message = Fields(bytes);
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, Field::Bytes(piece)) => read_piece(piece, &mut vocab)?,
            (2, Field::Bytes(trainer)) => {
                let mut trainer = Fields(trainer);
                while let Some((number, field)) = trainer.next()? {
                    // Negative numbers are written as 64 bits.
                    let Field::Number(value) = field else { continue };
                    match number {
                        3 => model_type = value,
                        40 => unk = value as i64,
                        41 => bos = value as i64,
                        42 => eos = value as i64,
                        43 => pad = value as i64,
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(normalizer)) => {
                let mut normalizer = Fields(normalizer);
                while let Some((number, field)) = normalizer.next()? {
                    match (number, field) {
                        (2, Field::Bytes(table)) => vocab.precompiled_charsmap = table.to_vec(),
                        (3, Field::Number(value)) => vocab.add_space_prefix = Some(value != 0),
                        (4, Field::Number(value)) => vocab.remove_extra_whitespaces = Some(value != 0),
                        (5, Field::Number(0)) => {
                            return Err("models that do not escape blanks are not supported".into());
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if vocab.tokens.is_empty() {
        return Err("not a SentencePiece model: it has no pieces".into());
    }
    vocab.model = match model_type {
        1 => "t5".into(),
        2 => "llama".into(),
        other => return Err(format!("model type {other}: expected 1 (unigram) or 2 (bpe)")),
    };
    let id = |id: i64| u32::try_from(id).ok().filter(|&id| (id as usize) < vocab.tokens.len());
    (vocab.unk, vocab.bos, vocab.eos, vocab.pad) = (id(unk), id(bos), id(eos), id(pad));
    vocab.add_bos = Some(model_type == 2 && vocab.bos.is_some());
    vocab.add_eos = Some(model_type == 1 && vocab.bos.is_none());
    Ok(vocab)
}

fn read_piece(bytes: &[u8], vocab: &mut GgufVocab) -> Result<(), String> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, 1);
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => {
                let piece = std::str::from_utf8(bytes);
                text = piece.map_err(|error| format!("piece {}: {error}", vocab.tokens.len()))?.to_owned();
            }
            (2, Field::Word(bits)) => score = f32::from_bits(bits),
            (3, Field::Number(value)) => kind = value as i32,
            _ => {}
        }
    }
    vocab.tokens.push(text);
    vocab.scores.push(score);
    vocab.token_types.push(kind);
    Ok(())
}

/// The fields of a protocol buffer message.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Word(u32),
    Long,
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let field = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => {
                self.take(8)?;
                Field::Long
            }
            2 => {
                let length = self.number()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let word = self.take(4)?;
                Field::Word(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            }
            kind => return Err(format!("not a SentencePiece model: field kind {kind}")),
        };
        Ok(Some((key >> 3, field)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).ok().filter(|&length| length <= self.0.len());
        let length = length.ok_or("not a SentencePiece model, or cut short")?;
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }

    /// A number in groups of 7 bits, lowest first.
    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("not a SentencePiece model: a number has more than 64 bits".into())
    }
}
