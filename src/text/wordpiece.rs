//! WordPiece, the tokenizer of BERT: the longest piece from the left, words apart.
//!
//! Normalisation and the cut into words are the `tokenizers` crate's, which holds the Unicode tables:
//! control characters dropped, Chinese characters set apart, accents and case removed where the file says so.
//!
//! Source: Devlin et al. 2019, arXiv:1810.04805; Wu et al. 2016, arXiv:1609.08144, section 4.1.

use tokenizers::models::wordpiece::WordPiece as Model;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    Model as _, NormalizedString, Normalizer as _, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::error::{Error, Result};
use crate::text::tokenizer::{Encoder, Fragment, Token, guarded};

/// Words of more characters than this are unknown, as in the models' training.
const N_WORD_CHARS_MAX: usize = 100;

/// What is done to a text before it is cut into words.
#[derive(Debug, Clone, Copy)]
pub struct WordPieceOptions {
    pub lowercase: bool,
    pub strip_accents: bool,
}

pub struct WordPiece {
    normalizer: BertNormalizer,
    model: Model,
}

impl WordPiece {
    /// `vocabulary` names continuations of a word with a leading `##`.
    pub fn new(
        file: &str,
        vocabulary: impl IntoIterator<Item = (String, u32)>,
        unknown: &str,
        options: WordPieceOptions,
    ) -> Result<WordPiece> {
        let vocabulary: tokenizers::models::bpe::Vocab = vocabulary.into_iter().collect();
        if !vocabulary.contains_key(unknown) {
            return Err(Error::file(file, format!("the vocabulary has no unknown token {unknown:?}")));
        }
        let model = Model::builder()
            .vocab(vocabulary)
            .unk_token(unknown.to_owned())
            .continuing_subword_prefix("##".to_owned())
            .max_input_chars_per_word(N_WORD_CHARS_MAX)
            .build()
            .map_err(|error| Error::file(file, error.to_string()))?;
        let normalizer = BertNormalizer::new(true, true, Some(options.strip_accents), options.lowercase);
        Ok(WordPiece { normalizer, model })
    }
}

impl Encoder for WordPiece {
    fn encode(&self, fragment: &Fragment<'_>, tokens: &mut Vec<Token>) -> Result<()> {
        let encoding = guarded("WordPiece", || {
            let mut text = NormalizedString::from(fragment.text);
            self.normalizer.normalize(&mut text)?;
            let mut text = PreTokenizedString::from(text);
            BertPreTokenizer.pre_tokenize(&mut text)?;
            text.tokenize(|word| self.model.tokenize(word.get()))?;
            text.into_encoding(None, 0, OffsetType::Byte)
        })?;
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        tokens.extend(ids.map(|(&id, &(start, end))| fragment.token(id, start..end)));
        Ok(())
    }
}
