//! RoBERTa and XLM-R: BERT's shape, positions counted from behind the padding's own row.
//!
//! Source: Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2019, arXiv:1911.02116.

use super::super::config::Key;
use super::super::decoder::Decoder;
use super::{Architecture, COMMON};

pub static ROBERTA: Architecture = Architecture {
    names: &["roberta", "xlm-roberta"],
    title: "RoBERTa",
    describe: |config| Decoder::encoder(config, 1 + config.usize_or(Key("", "pad_token_id"), 1)?),
    hub_names: &[
        ("token_embd", "roberta.embeddings.word_embeddings"),
        ("position_embd", "roberta.embeddings.position_embeddings"),
        ("token_types", "roberta.embeddings.token_type_embeddings"),
        ("token_embd_norm", "roberta.embeddings.LayerNorm"),
        ("blk.{}.attn_q", "roberta.encoder.layer.{}.attention.self.query"),
        ("blk.{}.attn_k", "roberta.encoder.layer.{}.attention.self.key"),
        ("blk.{}.attn_v", "roberta.encoder.layer.{}.attention.self.value"),
        ("blk.{}.attn_output", "roberta.encoder.layer.{}.attention.output.dense"),
        ("blk.{}.post_attention_norm", "roberta.encoder.layer.{}.attention.output.LayerNorm"),
        ("blk.{}.ffn_up", "roberta.encoder.layer.{}.intermediate.dense"),
        ("blk.{}.ffn_down", "roberta.encoder.layer.{}.output.dense"),
        ("blk.{}.post_ffw_norm", "roberta.encoder.layer.{}.output.LayerNorm"),
        ("mlm.dense", "lm_head.dense"),
        ("mlm.norm", "lm_head.layer_norm"),
        ("mlm.out", "lm_head"),
        ("cls.dense", "classifier.dense"),
        ("cls.out", "classifier.out_proj"),
        ("qa.out", "qa_outputs"),
    ],
    ..COMMON
};
