//! Falcon (7B and the like): one key head for all, attention and feed-forward in parallel.
//!
//! Source: Almazrouei et al. 2023, arXiv:2311.16867.

use super::super::config::Key;
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::error::Error;
use crate::kernels::Activation;

pub static FALCON: Architecture = Architecture {
    names: &["falcon"],
    title: "Falcon",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Gelu)?;
        if config.flag("new_decoder_architecture", false) || config.flag("alibi", false) {
            return Err(Error::Unsupported(
                "this kind of model with new_decoder_architecture or alibi; one key head and rotary positions are known"
                    .into(),
            ));
        }
        if config.is_hub() {
            let n = config.usize_or(Key("", "num_kv_heads"), decoder.n_heads)?;
            decoder.n_kv_heads = if config.flag("multi_query", true) { 1 } else { n };
        }
        decoder.parallel = config.flag("parallel_attn", true);
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "transformer.word_embeddings"),
        ("output_norm", "transformer.ln_f"),
        ("blk.{}.attn_norm", "transformer.h.{}.input_layernorm"),
        ("blk.{}.attn_qkv", "transformer.h.{}.self_attention.query_key_value"),
        ("blk.{}.attn_output", "transformer.h.{}.self_attention.dense"),
        ("blk.{}.ffn_norm", "transformer.h.{}.post_attention_layernorm"),
        ("blk.{}.ffn_up", "transformer.h.{}.mlp.dense_h_to_4h"),
        ("blk.{}.ffn_down", "transformer.h.{}.mlp.dense_4h_to_h"),
    ],
    ..COMMON
};
