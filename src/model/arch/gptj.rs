//! GPT-J: rotary positions on neighbouring pairs, both halves in parallel after one norm.
//!
//! Source: Wang & Komatsuzaki 2021, mesh-transformer-jax.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::kernels::{Activation, Pairs};

pub static GPTJ: Architecture = Architecture {
    names: &["gptj"],
    title: "GPT-J",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
        decoder.parallel = true;
        if let Some(rope) = &mut decoder.rope {
            rope.pairs = Pairs::Neighbours;
        }
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "transformer.wte"),
        ("output_norm", "transformer.ln_f"),
        ("blk.{}.attn_norm", "transformer.h.{}.ln_1"),
        ("blk.{}.attn_q", "transformer.h.{}.attn.q_proj"),
        ("blk.{}.attn_k", "transformer.h.{}.attn.k_proj"),
        ("blk.{}.attn_v", "transformer.h.{}.attn.v_proj"),
        ("blk.{}.attn_output", "transformer.h.{}.attn.out_proj"),
        ("blk.{}.ffn_norm", "transformer.h.{}.ln_2"),
        ("blk.{}.ffn_up", "transformer.h.{}.mlp.fc_in"),
        ("blk.{}.ffn_down", "transformer.h.{}.mlp.fc_out"),
    ],
    ..COMMON
};
