//! Llama 1 to 3 and the many models of the same shape: pre-norm decoder, RMS norm, rotary positions,
//! SwiGLU.
//!
//! Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; grouped keys: arXiv:2307.09288.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::kernels::Pairs;

pub static LLAMA: Architecture = Architecture {
    names: &["llama"],
    title: "Llama",
    describe: |config| {
        let mut decoder = Decoder::sizes(config)?;
        if let Some(rope) = &mut decoder.rope {
            // GGUF files hold q and k with their rows reordered for neighbouring pairs.
            rope.pairs = if config.is_hub() { Pairs::Halves } else { Pairs::Neighbours };
        }
        Ok(decoder)
    },
    ..COMMON
};
