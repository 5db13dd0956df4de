//! DistilBERT: half of BERT's layers, no token types.
//!
//! Source: Sanh et al. 2019, arXiv:1910.01108, section 3.

use super::super::decoder::Decoder;
use super::{Architecture, COMMON};
use crate::kernels::Activation;

pub static DISTILBERT: Architecture = Architecture {
    names: &["distilbert"],
    title: "DistilBERT",
    describe: |config| {
        let mut decoder = Decoder::encoder(config, 0)?;
        decoder.pooler = Activation::Relu;
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "distilbert.embeddings.word_embeddings"),
        ("position_embd", "distilbert.embeddings.position_embeddings"),
        ("token_embd_norm", "distilbert.embeddings.LayerNorm"),
        ("blk.{}.attn_q", "distilbert.transformer.layer.{}.attention.q_lin"),
        ("blk.{}.attn_k", "distilbert.transformer.layer.{}.attention.k_lin"),
        ("blk.{}.attn_v", "distilbert.transformer.layer.{}.attention.v_lin"),
        ("blk.{}.attn_output", "distilbert.transformer.layer.{}.attention.out_lin"),
        ("blk.{}.post_attention_norm", "distilbert.transformer.layer.{}.sa_layer_norm"),
        ("blk.{}.ffn_up", "distilbert.transformer.layer.{}.ffn.lin1"),
        ("blk.{}.ffn_down", "distilbert.transformer.layer.{}.ffn.lin2"),
        ("blk.{}.post_ffw_norm", "distilbert.transformer.layer.{}.output_layer_norm"),
        ("mlm.dense", "vocab_transform"),
        ("mlm.norm", "vocab_layer_norm"),
        ("mlm.out", "vocab_projector"),
        ("cls.dense", "pre_classifier"),
        ("cls.out", "classifier"),
        ("qa.out", "qa_outputs"),
    ],
    ..COMMON
};
