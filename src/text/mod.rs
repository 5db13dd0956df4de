//! Tokenizers and chat templates. Pure: no GPU.
//!
//! A [`Tokenizer`] turns text into token ids and back, whatever file it came from: `tokenizer.json`, the
//! metadata of a GGUF file, a SentencePiece model, a vocabulary list, tiktoken ranks, llama2.c. Loaders are
//! one file each; they all build the same parts:
//!
//! ```text
//!  text ── special tokens cut out ── encoder ── prefix and suffix (bos, eos, [CLS], [SEP]) ── ids
//!          `specials`                `ByteBpe`, `SentencePiece`, `WordPiece`, `Hub`, `Simple`
//!  ids ── pieces spelled as bytes ── whole characters ── text
//!         `decode::Spelling`         `DecodeStream`
//! ```
//!
//! Vocabulary words: a *piece* is the text of a token as its file stores it (`Ġthe`, `▁the`, `##ing`,
//! `<0x0A>`); its *bytes* are what it stands for (` the`, `ing`, a newline).

mod byte_bpe;
mod charsmap;
mod chat;
mod companions;
mod decode;
mod gguf;
mod hash;
mod hub;
mod hub_check;
mod llama2c;
mod merge;
mod merges_txt;
mod pieces;
mod pre;
mod prefixes;
mod python;
mod sentencepiece;
mod simple;
mod spm_model;
mod tiktoken;
mod tokenizer;
mod train;
mod vocab_txt;
mod wordpiece;

pub use chat::{ChatOptions, ChatTemplate, Message};
pub use companions::Companions;
pub use decode::{Decode, DecodeStream};
pub use gguf::GgufVocab;
pub use pieces::Class;
pub use pre::pre_tokenizer_names;
pub use tokenizer::{Encode, Kind, SpecialIds, Token, Tokenizer};
pub use train::{TrainKind, TrainProgress, Training, train};
pub use wordpiece::WordPieceOptions;
