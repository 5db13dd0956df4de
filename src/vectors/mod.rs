//! Texts as numbers without a language model: bags of words, word vectors.

mod bow;
mod file;
mod table;

pub use bow::{Bow, Units, cosine};
pub use file::WordVectors;
pub use table::VectorTable;
