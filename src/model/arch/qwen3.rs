//! Qwen 3: q and k of each head are normalised; no biases.
//!
//! Source: Qwen team 2025, arXiv:2505.09388, section 2.

use super::super::config::Config;
use super::super::decoder::{Decoder, QkNorm};
use super::{Architecture, COMMON, qwen2};
use crate::error::Result;

pub static QWEN3: Architecture = Architecture { names: &["qwen3"], title: "Qwen 3", describe, ..COMMON };

pub fn describe(config: &Config) -> Result<Decoder> {
    let mut decoder = qwen2::describe(config)?;
    decoder.qk_norm = QkNorm::PerHead;
    Ok(decoder)
}
