//! Qwen 2 and 2.5: Llama's shape with biases on q, k and v.
//!
//! Source: Yang et al. 2024, arXiv:2407.10671, section 2.2.

use super::super::config::{Config, Key};
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::error::Result;

pub static QWEN2: Architecture = Architecture { names: &["qwen2"], title: "Qwen 2", describe, ..COMMON };

/// A plain decoder, with a window in the later layers where the file asks for one.
pub fn describe(config: &Config) -> Result<Decoder> {
    let mut decoder = Decoder::sizes(config)?;
    if config.flag("use_sliding_window", false) {
        let window = config.usize_or(Key("", "sliding_window"), 0)?;
        let first = config.usize_or(Key("", "max_window_layers"), decoder.n_layers)?;
        decoder.set_windows(window, |layer| layer >= first);
    }
    Ok(decoder)
}
