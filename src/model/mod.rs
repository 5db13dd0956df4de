//! Models as data: an architecture describes a model by its mechanisms, loading puts its weights
//! into GPU buffers, and one recorded forward pass serves all descriptions.

mod arch;
mod config;
mod decoder;
mod forward;
mod load;
mod names;
mod rotary;
mod source;
mod vocab;

pub use arch::{ARCHITECTURES, Architecture};
pub use decoder::{Decoder, FeedForward, Norm, NormPlacement, QkNorm};
pub use forward::{Head, Pass, Step, record};
pub use load::{
    Ffn, Layer, Linear, LoadOptions, LoadProgress, Model, NormWeights, OutputHead, Tensors, describe,
};
pub use rotary::Rope;
pub use vocab::tokenizer;
