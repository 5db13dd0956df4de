//! BERT, and what has its shape (MiniLM, E5): an encoder with norms after each addition.
//!
//! Source: Devlin et al. 2018, arXiv:1810.04805, section 3.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON};

pub static BERT: Architecture = Architecture {
    names: &["bert"],
    title: "BERT",
    describe: |config| Decoder::encoder(config, 0),
    hub_names: &[
        ("token_embd", "bert.embeddings.word_embeddings"),
        ("position_embd", "bert.embeddings.position_embeddings"),
        ("token_types", "bert.embeddings.token_type_embeddings"),
        ("token_embd_norm", "bert.embeddings.LayerNorm"),
        ("blk.{}.attn_q", "bert.encoder.layer.{}.attention.self.query"),
        ("blk.{}.attn_k", "bert.encoder.layer.{}.attention.self.key"),
        ("blk.{}.attn_v", "bert.encoder.layer.{}.attention.self.value"),
        ("blk.{}.attn_output", "bert.encoder.layer.{}.attention.output.dense"),
        ("blk.{}.post_attention_norm", "bert.encoder.layer.{}.attention.output.LayerNorm"),
        ("blk.{}.ffn_up", "bert.encoder.layer.{}.intermediate.dense"),
        ("blk.{}.ffn_down", "bert.encoder.layer.{}.output.dense"),
        ("blk.{}.post_ffw_norm", "bert.encoder.layer.{}.output.LayerNorm"),
        ("mlm.dense", "cls.predictions.transform.dense"),
        ("mlm.norm", "cls.predictions.transform.LayerNorm"),
        ("mlm.out", "cls.predictions"),
        ("cls.dense", "bert.pooler.dense"),
        ("cls.out", "classifier"),
        ("qa.out", "qa_outputs"),
    ],
    ..COMMON
};
