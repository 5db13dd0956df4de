//! Texts as numbers without a language model. Pure: no GPU.

mod bow;

pub use bow::{Bow, Units, cosine};
