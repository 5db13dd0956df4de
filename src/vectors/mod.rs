//! Texts as numbers without a language model: bags of words, word vectors, runs that texts share.

mod bow;
mod file;
mod nearest;
mod npy;
mod overlap;
mod pca;
mod plot;
mod spelling;
mod table;

pub use bow::{Bow, Units, cosine};
pub use file::WordVectors;
pub use nearest::{Nearest, TOP_MAX, rows};
pub use npy::{Array, npz, sparse_npz};
pub use overlap::{Overlap, Run};
pub use pca::{Plane, plane};
pub use plot::{Plot, Point, escape};
pub use spelling::similar_words;
pub use table::VectorTable;
