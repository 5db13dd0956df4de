//! Qwen 3 with experts.
//!
//! Source: Qwen team 2025, arXiv:2505.09388, section 2.

use super::super::config::Key;
use super::super::decoder::{Experts, FeedForward};
use super::{Architecture, COMMON, qwen3};
use crate::error::Error;
use crate::kernels::Activation;

pub static QWEN3_MOE: Architecture = Architecture {
    names: &["qwen3_moe", "qwen3moe"],
    title: "Qwen 3 MoE",
    describe: |config| {
        let mut decoder = qwen3::describe(config)?;
        let every = config.usize_or(Key("", "decoder_sparse_step"), 1)?;
        let dense = config.json("mlp_only_layers").and_then(|layers| layers.as_array()).map_or(0, Vec::len);
        if every != 1 || dense > 0 {
            return Err(Error::Unsupported("layers without experts between layers with them".into()));
        }
        decoder.n_ff =
            config.usize_or(Key("expert_feed_forward_length", "moe_intermediate_size"), decoder.n_ff)?;
        decoder.feed_forward = FeedForward::Experts(Experts {
            activation: Activation::Silu,
            n_experts: config.usize(Key("expert_count", "num_experts"))?,
            n_used: config.usize(Key("expert_used_count", "num_experts_per_tok"))?,
            normalise: config.flag("norm_topk_prob", true),
            gated: true,
            capacity: None,
        });
        Ok(decoder)
    },
    hub_names: &[
        ("blk.{}.ffn_gate_inp", "model.layers.{}.mlp.gate"),
        ("blk.{}.ffn_gate_exp", "model.layers.{}.mlp.experts.[].gate_proj"),
        ("blk.{}.ffn_up_exp", "model.layers.{}.mlp.experts.[].up_proj"),
        ("blk.{}.ffn_down_exp", "model.layers.{}.mlp.experts.[].down_proj"),
    ],
    ..COMMON
};
