//! Models as data: an architecture describes a model by its mechanisms, loading puts its weights
//! into GPU buffers, and one recorded forward pass serves all descriptions.

mod arch;
mod config;
mod decoder;
mod forward;
mod load;
mod loader;
mod names;
mod products;
mod quantise;
mod relative;
mod rotary;
mod source;
mod tensors;
mod vocab;

pub use arch::{ARCHITECTURES, Architecture};
pub use decoder::{Decoder, Experts, FeedForward, Norm, NormPlacement, QkNorm, Relative};
pub use forward::{CrossStep, Head, Pass, Step, record, record_source};
pub use load::{LoadOptions, LoadProgress, LoadTimes, Model, describe, load_embedding};
pub use products::products;
pub use quantise::{requantise, target as quantise_target};
pub use rotary::Rope;
pub use tensors::{Cross, Ffn, Layer, Linear, NormWeights, OutputHead, Tensors};
pub use vocab::{open_tokenizer, tokenizer};
