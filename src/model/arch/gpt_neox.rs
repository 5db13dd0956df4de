//! GPT-NeoX and Pythia: rotary positions on a part of each head, both halves in parallel.
//!
//! Source: Black et al. 2022, arXiv:2204.06745, section 2.1.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON, QkvLayout};
use crate::kernels::Activation;

pub static GPT_NEOX: Architecture = Architecture {
    names: &["gpt_neox", "gptneox"],
    title: "GPT-NeoX",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Gelu)?;
        decoder.parallel = config.flag("use_parallel_residual", true);
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "gpt_neox.embed_in"),
        ("output_norm", "gpt_neox.final_layer_norm"),
        ("output", "embed_out"),
        ("blk.{}.attn_norm", "gpt_neox.layers.{}.input_layernorm"),
        ("blk.{}.attn_qkv", "gpt_neox.layers.{}.attention.query_key_value"),
        ("blk.{}.attn_output", "gpt_neox.layers.{}.attention.dense"),
        ("blk.{}.ffn_norm", "gpt_neox.layers.{}.post_attention_layernorm"),
        ("blk.{}.ffn_up", "gpt_neox.layers.{}.mlp.dense_h_to_4h"),
        ("blk.{}.ffn_down", "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
    ],
    qkv: |config| if config.is_hub() { QkvLayout::ByHead } else { QkvLayout::InTurn },
    ..COMMON
};
