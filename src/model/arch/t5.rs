//! T5, mT5 and FLAN-T5: an encoder and a decoder with biases by distance, scores that are not scaled.
//!
//! Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1; Shazeer 2020, arXiv:2002.05202 (gates).

use super::super::config::{Config, Key};
use super::super::decoder::{Decoder, FeedForward, Relative};
use super::super::names::Names;
use super::{Architecture, COMMON};
use crate::error::Result;
use crate::kernels::Activation;

pub static T5: Architecture = Architecture {
    names: &["t5", "mt5"],
    title: "T5",
    describe: decoder,
    encoder: Some(encoder),
    hub_names: NAMES,
    ..COMMON
};

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
    ("enc.blk.{}.ffn_gate", "encoder.block.{}.layer.1.DenseReluDense.wi_0"),
    ("enc.blk.{}.ffn_up", "encoder.block.{}.layer.1.DenseReluDense.wi_1"),
    ("enc.blk.{}.ffn_up", "encoder.block.{}.layer.1.DenseReluDense.wi"),
    ("enc.blk.{}.ffn_down", "encoder.block.{}.layer.1.DenseReluDense.wo"),
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
    ("dec.blk.{}.ffn_gate", "decoder.block.{}.layer.2.DenseReluDense.wi_0"),
    ("dec.blk.{}.ffn_up", "decoder.block.{}.layer.2.DenseReluDense.wi_1"),
    ("dec.blk.{}.ffn_up", "decoder.block.{}.layer.2.DenseReluDense.wi"),
    ("dec.blk.{}.ffn_down", "decoder.block.{}.layer.2.DenseReluDense.wo"),
];

/// What both stacks have.
pub fn stack(config: &Config) -> Result<Decoder> {
    let mut d = Decoder::sizes(config)?;
    d.rope = None;
    d.q_scale = 1.0;
    d.relative = Some(Relative {
        n_buckets: config
            .usize_or(Key("attention.relative_buckets_count", "relative_attention_num_buckets"), 32)?,
        max_distance: config.usize_or(Key("", "relative_attention_max_distance"), 128)?,
    });
    if let super::super::decoder::Norm::Rms { eps } = &mut d.norm {
        *eps = config.f64_or(
            Key("attention.layer_norm_rms_epsilon|attention.layer_norm_epsilon", "layer_norm_epsilon"),
            1e-6,
        )? as f32;
    }
    Ok(d)
}

/// Makes a stack the decoder of two.
pub fn beside_encoder(config: &Config, mut d: Decoder) -> Result<Decoder> {
    d.n_layers = config.usize_or(Key("decoder_block_count", "num_decoder_layers"), d.n_layers)?;
    d.set_windows(0, |_| false);
    d.tied = config.flag("tie_word_embeddings", config.is_hub());
    if d.tied {
        d.output_scale = (d.n_embd as f32).powf(-0.5);
    }
    d.start_id = Some(
        config.usize_or(Key("decoder_start_token_id", "decoder_start_token_id|pad_token_id"), 0)? as u32,
    );
    Ok(d)
}

fn decoder(config: &Config) -> Result<Decoder> {
    beside_encoder(config, with_network(config)?)
}

fn encoder(config: &Config) -> Result<Decoder> {
    Ok(Decoder { bidirectional: true, ..with_network(config)? })
}

/// The first version has ReLU; later ones, of which GGUF files tell nothing else, gates.
fn with_network(config: &Config) -> Result<Decoder> {
    let mut d = stack(config)?;
    let network = config.text(Key("", "feed_forward_proj")).unwrap_or(if config.is_hub() {
        "relu"
    } else {
        "gated-gelu"
    });
    d.feed_forward = match network {
        // The files name the exact form and mean this one.
        "gated-gelu" => FeedForward::Gated(Activation::GeluTanh),
        "gated-silu" => FeedForward::Gated(Activation::Silu),
        "gated-relu" => FeedForward::Gated(Activation::Relu),
        "gelu" => FeedForward::Plain(Activation::Gelu),
        _ => FeedForward::Plain(Activation::Relu),
    };
    Ok(d)
}
