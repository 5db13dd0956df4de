//! ModernBERT: an encoder with rotary positions, GeGLU, and windows in most layers.
//!
//! Source: Warner et al. 2024, arXiv:2412.13663, section 2.1.

use super::super::config::Key;
use super::super::decoder::{Decoder, FeedForward, NormPlacement};
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static MODERNBERT: Architecture = Architecture {
    names: &["modernbert"],
    title: "ModernBERT",
    describe: |config| {
        let mut decoder = Decoder::with_layer_norms(config, Activation::Gelu)?;
        if let FeedForward::Plain(activation) = decoder.feed_forward {
            decoder.feed_forward = FeedForward::Gated(activation);
        }
        decoder.placement = NormPlacement::Before;
        decoder.bidirectional = true;
        decoder.pooler = Activation::Gelu;
        if let Some(rope) = &mut decoder.rope {
            rope.base = config.f64_or(Key("", "global_rope_theta"), 160_000.0)?;
            rope.local_base = Some(config.f64_or(Key("", "local_rope_theta"), 10_000.0)?);
        }
        // The file gives both sides of a window together.
        let window = config.usize_or(Key("", "local_attention"), 128)? / 2 + 1;
        let period = config.usize_or(Key("", "global_attn_every_n_layers"), 3)?.max(1);
        decoder.set_windows(window, |layer| layer % period != 0);
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "model.embeddings.tok_embeddings"),
        ("token_embd_norm", "model.embeddings.norm"),
        ("output_norm", "model.final_norm"),
        ("blk.{}.attn_norm", "model.layers.{}.attn_norm"),
        ("blk.{}.attn_qkv", "model.layers.{}.attn.Wqkv"),
        ("blk.{}.attn_output", "model.layers.{}.attn.Wo"),
        ("blk.{}.ffn_norm", "model.layers.{}.mlp_norm"),
        ("blk.{}.ffn_up", "model.layers.{}.mlp.Wi"),
        ("blk.{}.ffn_down", "model.layers.{}.mlp.Wo"),
        ("mlm.dense", "head.dense"),
        ("mlm.norm", "head.norm"),
        ("mlm.out", "decoder"),
    ],
    fused_gate_up: true,
    ..COMMON
};
