//! Phi 1 to 2: both halves in parallel after one norm, rotary positions on a part of each head.
//!
//! Source: Li et al. 2023, arXiv:2309.05463, section 2.1.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static PHI: Architecture = Architecture {
    names: &["phi", "phi2"],
    title: "Phi",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
        decoder.parallel = true;
        Ok(decoder)
    },
    hub_names: &[
        ("output_norm", "model.final_layernorm"),
        ("blk.{}.attn_output", "model.layers.{}.self_attn.dense"),
        ("blk.{}.ffn_up", "model.layers.{}.mlp.fc1"),
        ("blk.{}.ffn_down", "model.layers.{}.mlp.fc2"),
    ],
    ..COMMON
};
