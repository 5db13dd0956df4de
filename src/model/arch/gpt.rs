//! GPT, the first: norms after each addition, learned positions.
//!
//! Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 4.1.

use super::super::decoder::{Decoder, FeedForward, NormPlacement};
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static GPT: Architecture = Architecture {
    names: &["openai-gpt"],
    title: "GPT",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
        // Its files call the tanh form "gelu".
        decoder.feed_forward = FeedForward::Plain(Activation::GeluTanh);
        decoder.placement = NormPlacement::AfterResidual;
        decoder.rope = None;
        decoder.learned_positions = Some(0);
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "transformer.tokens_embed"),
        ("position_embd", "transformer.positions_embed"),
        ("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn"),
        ("blk.{}.attn_output", "transformer.h.{}.attn.c_proj"),
        ("blk.{}.post_attention_norm", "transformer.h.{}.ln_1"),
        ("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc"),
        ("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj"),
        ("blk.{}.post_ffw_norm", "transformer.h.{}.ln_2"),
    ],
    transposed: true,
    ..COMMON
};
