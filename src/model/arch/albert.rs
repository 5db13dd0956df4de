//! ALBERT: BERT whose layers share their weights, with embeddings narrower than the layers.
//!
//! Source: Lan et al. 2019, arXiv:1909.11942, section 3.1.

use super::super::config::Key;
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::error::Error;

pub static ALBERT: Architecture = Architecture {
    names: &["albert"],
    title: "ALBERT",
    describe: |config| {
        let mut decoder = Decoder::encoder(config, 0)?;
        decoder.embedding_width = config.usize_or(Key("", "embedding_size"), 128)?;
        decoder.n_groups = config.usize_or(Key("", "num_hidden_groups"), 1)?.clamp(1, decoder.n_layers);
        let inner = config.usize_or(Key("", "inner_group_num"), 1)?;
        if inner != 1 || decoder.n_layers % decoder.n_groups != 0 {
            return Err(Error::Unsupported(format!(
                "{} layers in {} groups of {inner} layers each",
                decoder.n_layers, decoder.n_groups
            )));
        }
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "albert.embeddings.word_embeddings"),
        ("position_embd", "albert.embeddings.position_embeddings"),
        ("token_types", "albert.embeddings.token_type_embeddings"),
        ("token_embd_norm", "albert.embeddings.LayerNorm"),
        ("token_embd_projection", "albert.encoder.embedding_hidden_mapping_in"),
        ("blk.{}.attn_q", "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.query"),
        ("blk.{}.attn_k", "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.key"),
        ("blk.{}.attn_v", "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.value"),
        ("blk.{}.attn_output", "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.dense"),
        (
            "blk.{}.post_attention_norm",
            "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.LayerNorm",
        ),
        ("blk.{}.ffn_up", "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn"),
        ("blk.{}.ffn_down", "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn_output"),
        (
            "blk.{}.post_ffw_norm",
            "albert.encoder.albert_layer_groups.{}.albert_layers.0.full_layer_layer_norm",
        ),
        ("mlm.dense", "predictions.dense"),
        ("mlm.norm", "predictions.LayerNorm"),
        ("mlm.out", "predictions.decoder"),
        ("mlm.out", "predictions"),
        ("cls.dense", "albert.pooler"),
        ("cls.out", "classifier"),
        ("qa.out", "qa_outputs"),
    ],
    ..COMMON
};
