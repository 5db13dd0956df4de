//! Gemma 2: norms before and after, capped scores and logits, a window in every second layer.
//!
//! Source: Gemma team 2024, arXiv:2408.00118, section 2.

use super::super::config::{Config, Key};
use super::super::decoder::{Decoder, NormPlacement};
use super::super::names::Names;
use super::{Architecture, COMMON, gemma};
use crate::error::Result;

pub static GEMMA2: Architecture = Architecture {
    names: &["gemma2"],
    title: "Gemma 2",
    describe: |config| {
        let mut decoder = sandwich(config)?;
        let cap = |value: f64| (value > 0.0).then_some(value as f32);
        decoder.attention_soft_cap =
            cap(config.f64_or(Key("attn_logit_softcapping", "attn_logit_softcapping"), 0.0)?);
        decoder.logit_soft_cap =
            cap(config.f64_or(Key("final_logit_softcapping", "final_logit_softcapping"), 0.0)?);
        set_windows(config, &mut decoder, 2)?;
        Ok(decoder)
    },
    hub_names: NAMES,
    ..COMMON
};

/// The names of a layer with four norms.
pub const NAMES: Names = &[
    ("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
    ("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"),
    ("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"),
];

/// What the second generation and later ones share.
pub fn sandwich(config: &Config) -> Result<Decoder> {
    let mut decoder = gemma::describe(config)?;
    decoder.placement = NormPlacement::BeforeAndAfter;
    let per_head = config.f64_or(Key("attention.query_pre_attn_scalar", "query_pre_attn_scalar"), 0.0)?;
    if per_head > 0.0 {
        decoder.q_scale = 1.0 / (per_head as f32).sqrt();
    }
    Ok(decoder)
}

/// Windows as the file lists them, else in all but each `period`-th layer.
pub fn set_windows(config: &Config, decoder: &mut Decoder, period: usize) -> Result<()> {
    let window = config.usize_or(Key("attention.sliding_window", "sliding_window"), 0)?;
    let types = config.json("layer_types").and_then(|types| types.as_array());
    decoder.set_windows(window, |layer| match types.and_then(|types| types.get(layer)) {
        Some(kind) => kind != "full_attention",
        None => (layer + 1) % period != 0,
    });
    Ok(())
}
