//! Mixtral: Mistral with experts.
//!
//! Source: Jiang et al. 2024, arXiv:2401.04088, section 2.

use super::super::config::Key;
use super::super::decoder::{Experts, FeedForward};
use super::{Architecture, COMMON, mistral};
use crate::kernels::Activation;

pub static MIXTRAL: Architecture = Architecture {
    names: &["mixtral"],
    title: "Mixtral",
    describe: |config| {
        let mut decoder = mistral::describe(config)?;
        decoder.feed_forward = FeedForward::Experts(Experts {
            activation: Activation::Silu,
            n_experts: config.usize(Key("expert_count", "num_local_experts"))?,
            n_used: config.usize(Key("expert_used_count", "num_experts_per_tok"))?,
            normalise: true,
            gated: true,
            capacity: None,
        });
        Ok(decoder)
    },
    hub_names: &[
        ("blk.{}.ffn_gate_inp", "model.layers.{}.block_sparse_moe.gate"),
        ("blk.{}.ffn_gate_exp", "model.layers.{}.block_sparse_moe.experts.[].w1"),
        ("blk.{}.ffn_up_exp", "model.layers.{}.block_sparse_moe.experts.[].w3"),
        ("blk.{}.ffn_down_exp", "model.layers.{}.block_sparse_moe.experts.[].w2"),
    ],
    ..COMMON
};
