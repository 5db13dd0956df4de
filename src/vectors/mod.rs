//! Texts as numbers without a language model: bags of words, word vectors, runs that texts share.

mod bow;
mod file;
mod overlap;
mod table;

pub use bow::{Bow, Units, cosine};
pub use file::WordVectors;
pub use overlap::{Overlap, Run};
pub use table::VectorTable;
