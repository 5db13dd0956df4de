//! Switch Transformers: T5 whose every second layer has experts, one for each token.
//!
//! Source: Fedus et al. 2021, arXiv:2101.03961, section 2.

use super::super::config::{Config, Key};
use super::super::decoder::{Decoder, Experts, FeedForward};
use super::super::names::Names;
use super::{Architecture, COMMON, t5};
use crate::error::Result;
use crate::kernels::Activation;

pub static SWITCH: Architecture = Architecture {
    names: &["switch_transformers"],
    title: "Switch Transformers",
    describe: |config| {
        let d = t5::beside_encoder(config, t5::stack(config)?)?;
        // A pass has one token of each text, which no expert ever turns away.
        with_experts(config, d, Key("", "decoder_sparse_step"), Key("", "num_sparse_decoder_layers"), false)
    },
    encoder: Some(|config| {
        let d = Decoder { bidirectional: true, ..t5::stack(config)? };
        with_experts(config, d, Key("", "encoder_sparse_step"), Key("", "num_sparse_encoder_layers"), true)
    }),
    hub_names: NAMES,
    ..COMMON
};

fn with_experts(config: &Config, mut d: Decoder, step: Key, n_sparse: Key, limited: bool) -> Result<Decoder> {
    let n_sparse = config.usize_or(n_sparse, 3)?;
    let every = if n_sparse == 0 { 0 } else { (d.n_layers / n_sparse).max(1) };
    let step = config.usize_or(step, every)?;
    d.expert_layers = Some((0..d.n_layers).map(|i| step == 1 || (step > 1 && i % step == 1)).collect());
    d.feed_forward = FeedForward::Experts(Experts {
        activation: super::super::decoder::activation(config, Activation::Relu)?,
        n_experts: config.usize_or(Key("", "num_experts"), 8)?,
        n_used: 1,
        normalise: false,
        gated: false,
        capacity: if limited { Some(config.usize_or(Key("", "expert_capacity"), 64)?) } else { None },
    });
    Ok(d)
}

const NAMES: Names = &[
    ("token_embd", "shared"),
    ("output", "lm_head"),
    ("enc.output_norm", "encoder.final_layer_norm"),
    ("enc.blk.{}.attn_norm", "encoder.block.{}.layer.0.layer_norm"),
    ("enc.blk.{}.attn_q", "encoder.block.{}.layer.0.SelfAttention.q"),
    ("enc.blk.{}.attn_k", "encoder.block.{}.layer.0.SelfAttention.k"),
    ("enc.blk.{}.attn_v", "encoder.block.{}.layer.0.SelfAttention.v"),
    ("enc.blk.{}.attn_o", "encoder.block.{}.layer.0.SelfAttention.o"),
    ("enc.blk.{}.attn_rel_b", "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    ("enc.blk.{}.ffn_norm", "encoder.block.{}.layer.1.layer_norm"),
    ("enc.blk.{}.ffn_up", "encoder.block.{}.layer.1.mlp.wi"),
    ("enc.blk.{}.ffn_down", "encoder.block.{}.layer.1.mlp.wo"),
    ("enc.blk.{}.ffn_gate_inp", "encoder.block.{}.layer.1.mlp.router.classifier"),
    ("enc.blk.{}.ffn_up_exp", "encoder.block.{}.layer.1.mlp.experts.expert_[].wi"),
    ("enc.blk.{}.ffn_down_exp", "encoder.block.{}.layer.1.mlp.experts.expert_[].wo"),
    ("dec.output_norm", "decoder.final_layer_norm"),
    ("dec.blk.{}.attn_norm", "decoder.block.{}.layer.0.layer_norm"),
    ("dec.blk.{}.attn_q", "decoder.block.{}.layer.0.SelfAttention.q"),
    ("dec.blk.{}.attn_k", "decoder.block.{}.layer.0.SelfAttention.k"),
    ("dec.blk.{}.attn_v", "decoder.block.{}.layer.0.SelfAttention.v"),
    ("dec.blk.{}.attn_o", "decoder.block.{}.layer.0.SelfAttention.o"),
    ("dec.blk.{}.attn_rel_b", "decoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    ("dec.blk.{}.cross_attn_norm", "decoder.block.{}.layer.1.layer_norm"),
    ("dec.blk.{}.cross_attn_q", "decoder.block.{}.layer.1.EncDecAttention.q"),
    ("dec.blk.{}.cross_attn_k", "decoder.block.{}.layer.1.EncDecAttention.k"),
    ("dec.blk.{}.cross_attn_v", "decoder.block.{}.layer.1.EncDecAttention.v"),
    ("dec.blk.{}.cross_attn_o", "decoder.block.{}.layer.1.EncDecAttention.o"),
    ("dec.blk.{}.ffn_norm", "decoder.block.{}.layer.2.layer_norm"),
    ("dec.blk.{}.ffn_up", "decoder.block.{}.layer.2.mlp.wi"),
    ("dec.blk.{}.ffn_down", "decoder.block.{}.layer.2.mlp.wo"),
    ("dec.blk.{}.ffn_gate_inp", "decoder.block.{}.layer.2.mlp.router.classifier"),
    ("dec.blk.{}.ffn_up_exp", "decoder.block.{}.layer.2.mlp.experts.expert_[].wi"),
    ("dec.blk.{}.ffn_down_exp", "decoder.block.{}.layer.2.mlp.experts.expert_[].wo"),
];
