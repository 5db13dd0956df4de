//! Texts as numbers without a language model: bags of words, word vectors, runs that texts share.

mod bow;
mod checkpoint;
mod corpus;
mod draw;
mod evaluate;
mod file;
mod nearest;
mod npy;
mod overlap;
mod pca;
mod plot;
mod spelling;
mod stats;
mod table;
mod train;
mod write;

pub use crate::kernels::tiles::Objective;
pub use bow::{Bow, Units, cosine};
pub use checkpoint::Checkpoint;
pub use corpus::{Corpus, CorpusReader, Sentences, Split};
pub use evaluate::{
    Analogies, EvaluateOptions, Pairs, Section, evaluate_analogies, evaluate_pairs, is_analogies,
};
pub use file::WordVectors;
pub use nearest::{Nearest, TOP_MAX, rows};
pub use npy::{Array, npz, sparse_npz};
pub use overlap::{Overlap, Run};
pub use pca::{Plane, plane};
pub use plot::{Plot, Point, escape};
pub use spelling::similar_words;
pub use stats::Correlation;
pub use table::VectorTable;
pub use train::{Progress, TrainOptions, Trainer};
pub use write::FileFormat;
