//! BLOOM: slopes over distances instead of positions, a norm after the embedding.
//!
//! Source: BigScience 2022, arXiv:2211.05100, section 3.2.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON, QkvLayout};
use crate::kernels::Activation;

pub static BLOOM: Architecture = Architecture {
    names: &["bloom"],
    title: "BLOOM",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::GeluTanh)?;
        decoder.rope = None;
        decoder.alibi = true;
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "transformer.word_embeddings"),
        ("token_embd_norm", "transformer.word_embeddings_layernorm"),
        ("output_norm", "transformer.ln_f"),
        ("blk.{}.attn_norm", "transformer.h.{}.input_layernorm"),
        ("blk.{}.attn_qkv", "transformer.h.{}.self_attention.query_key_value"),
        ("blk.{}.attn_output", "transformer.h.{}.self_attention.dense"),
        ("blk.{}.ffn_norm", "transformer.h.{}.post_attention_layernorm"),
        ("blk.{}.ffn_up", "transformer.h.{}.mlp.dense_h_to_4h"),
        ("blk.{}.ffn_down", "transformer.h.{}.mlp.dense_4h_to_h"),
    ],
    qkv: |config| if config.is_hub() { QkvLayout::ByHead } else { QkvLayout::InTurn },
    ..COMMON
};
