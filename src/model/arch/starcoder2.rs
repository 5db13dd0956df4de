//! StarCoder 2: layer norms, biases, rotary positions, a window.
//!
//! Source: Lozhkov et al. 2024, arXiv:2402.19173, section 6.1.

use super::super::config::Key;
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static STARCODER2: Architecture = Architecture {
    names: &["starcoder2"],
    title: "StarCoder 2",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
        let window = config.usize_or(Key("attention.sliding_window", "sliding_window"), 0)?;
        decoder.set_windows(window, |_| true);
        Ok(decoder)
    },
    hub_names: &[
        ("blk.{}.ffn_up", "model.layers.{}.mlp.c_fc"),
        ("blk.{}.ffn_down", "model.layers.{}.mlp.c_proj"),
    ],
    ..COMMON
};
