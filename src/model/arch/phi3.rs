//! Phi 3: Llama's shape with q, k and v in one tensor, and gate and up in another.
//!
//! Source: Abdin et al. 2024, arXiv:2404.14219, section 2.

use super::{Architecture, COMMON, mistral};

pub static PHI3: Architecture = Architecture {
    names: &["phi3"],
    title: "Phi 3",
    describe: mistral::describe,
    hub_names: &[
        ("blk.{}.attn_qkv", "model.layers.{}.self_attn.qkv_proj"),
        ("blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj"),
    ],
    fused_gate_up: true,
    ..COMMON
};
