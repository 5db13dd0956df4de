//! StableLM: Llama's shape with layer norms and rotary positions on a part of each head.
//!
//! Source: Bellagente et al. 2024, arXiv:2402.17834, section 2.

use super::super::decoder::{Decoder, FeedForward};
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static STABLELM: Architecture = Architecture {
    names: &["stablelm"],
    title: "StableLM",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Silu)?;
        decoder.feed_forward = FeedForward::Gated(Activation::Silu);
        decoder.parallel = config.flag("use_parallel_residual", false);
        Ok(decoder)
    },
    ..COMMON
};
