//! OPT: GPT-3's shape with ReLU; its table of positions begins with two rows that no token uses.
//!
//! Source: Zhang et al. 2022, arXiv:2205.01068, section 2.1.

use super::super::config::Key;
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::error::Error;
use crate::kernels::Activation;

pub static OPT: Architecture = Architecture {
    names: &["opt"],
    title: "OPT",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Relu)?;
        let width = config.usize_or(Key("", "word_embed_proj_dim"), decoder.n_embd)?;
        if width != decoder.n_embd || !config.flag("do_layer_norm_before", true) {
            return Err(Error::Unsupported(format!(
                "embeddings of another width ({width}) than the layers' ({}), or norms after the addition (the 350M model)",
                decoder.n_embd
            )));
        }
        decoder.rope = None;
        decoder.learned_positions = Some(2);
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "model.decoder.embed_tokens"),
        ("position_embd", "model.decoder.embed_positions"),
        ("output_norm", "model.decoder.final_layer_norm"),
        ("blk.{}.attn_norm", "model.decoder.layers.{}.self_attn_layer_norm"),
        ("blk.{}.attn_q", "model.decoder.layers.{}.self_attn.q_proj"),
        ("blk.{}.attn_k", "model.decoder.layers.{}.self_attn.k_proj"),
        ("blk.{}.attn_v", "model.decoder.layers.{}.self_attn.v_proj"),
        ("blk.{}.attn_output", "model.decoder.layers.{}.self_attn.out_proj"),
        ("blk.{}.ffn_norm", "model.decoder.layers.{}.final_layer_norm"),
        ("blk.{}.ffn_up", "model.decoder.layers.{}.fc1"),
        ("blk.{}.ffn_down", "model.decoder.layers.{}.fc2"),
    ],
    ..COMMON
};
