//! GPT-2: norms before each half, learned positions.
//!
//! Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.

use super::super::config::Config;
use super::super::decoder::Decoder;
use super::super::names::Names;
use super::{Architecture, COMMON};
use crate::error::Result;
use crate::kernels::Activation;

pub static GPT2: Architecture =
    Architecture { names: &["gpt2"], title: "GPT-2", describe, hub_names: NAMES, transposed: true, ..COMMON };

/// What its descendants share.
pub fn describe(config: &Config) -> Result<Decoder> {
    let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
    decoder.rope = None;
    decoder.learned_positions = Some(0);
    Ok(decoder)
}

pub const NAMES: Names = &[
    ("token_embd", "transformer.wte"),
    ("position_embd", "transformer.wpe"),
    ("output_norm", "transformer.ln_f"),
    ("blk.{}.attn_norm", "transformer.h.{}.ln_1"),
    ("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn"),
    ("blk.{}.attn_output", "transformer.h.{}.attn.c_proj"),
    ("blk.{}.ffn_norm", "transformer.h.{}.ln_2"),
    ("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc"),
    ("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj"),
];
