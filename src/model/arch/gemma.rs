//! Gemma: GeGLU, scaled embeddings, gains stored less 1.
//!
//! Source: Gemma team 2024, arXiv:2403.08295, section 2.

use super::super::config::Config;
use super::super::decoder::{Decoder, FeedForward};
use super::{Architecture, COMMON};
use crate::error::Result;
use crate::kernels::Activation;

pub static GEMMA: Architecture = Architecture { names: &["gemma"], title: "Gemma", describe, ..COMMON };

/// What all generations share.
pub fn describe(config: &Config) -> Result<Decoder> {
    let mut decoder = Decoder::sizes(config)?;
    // The hub's files of the first generation name the exact form and mean this one.
    decoder.feed_forward = FeedForward::Gated(Activation::GeluTanh);
    // Hub files store gain - 1; GGUF files store the gain.
    decoder.gain_offset = if config.is_hub() { 1.0 } else { 0.0 };
    decoder.embedding_scale = (decoder.n_embd as f32).sqrt();
    decoder.tied = config.flag("tie_word_embeddings", true);
    Ok(decoder)
}
