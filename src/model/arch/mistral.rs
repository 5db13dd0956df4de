//! Mistral: a window in every layer.
//!
//! Source: Jiang et al. 2023, arXiv:2310.06825, section 2.

use super::super::config::{Config, Key};
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::error::Result;

pub static MISTRAL: Architecture = Architecture { names: &["mistral"], title: "Mistral", describe, ..COMMON };

/// A plain decoder whose layers all have the window that the file gives, if any.
pub fn describe(config: &Config) -> Result<Decoder> {
    let mut decoder = Decoder::sizes(config)?;
    let window = config.usize_or(Key("attention.sliding_window", "sliding_window"), 0)?;
    decoder.set_windows(window, |_| true);
    Ok(decoder)
}
