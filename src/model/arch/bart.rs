//! BART: an encoder and a decoder with learned positions and norms after each addition.
//!
//! Source: Lewis et al. 2019, arXiv:1910.13461, section 2.1.

use super::super::config::{Config, Key};
use super::super::decoder::{Decoder, NormPlacement};
use super::{Architecture, COMMON};
use crate::error::Result;
use crate::kernels::Activation;

pub static BART: Architecture = Architecture {
    names: &["bart"],
    title: "BART",
    describe: |config| {
        let mut d = stack(config, ["decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"])?;
        d.tied = config.flag("tie_word_embeddings", true);
        d.start_id = Some(config.usize_or(Key("", "decoder_start_token_id|eos_token_id"), 2)? as u32);
        Ok(d)
    },
    encoder: Some(|config| {
        let d = stack(config, ["encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"])?;
        Ok(Decoder { bidirectional: true, ..d })
    }),
    hub_names: &[
        ("token_embd", "model.shared"),
        ("output", "lm_head"),
        ("output.bias", "final_logits_bias"),
        ("enc.position_embd", "model.encoder.embed_positions"),
        ("enc.token_embd_norm", "model.encoder.layernorm_embedding"),
        ("enc.blk.{}.attn_q", "model.encoder.layers.{}.self_attn.q_proj"),
        ("enc.blk.{}.attn_k", "model.encoder.layers.{}.self_attn.k_proj"),
        ("enc.blk.{}.attn_v", "model.encoder.layers.{}.self_attn.v_proj"),
        ("enc.blk.{}.attn_o", "model.encoder.layers.{}.self_attn.out_proj"),
        ("enc.blk.{}.post_attention_norm", "model.encoder.layers.{}.self_attn_layer_norm"),
        ("enc.blk.{}.ffn_up", "model.encoder.layers.{}.fc1"),
        ("enc.blk.{}.ffn_down", "model.encoder.layers.{}.fc2"),
        ("enc.blk.{}.post_ffw_norm", "model.encoder.layers.{}.final_layer_norm"),
        ("dec.position_embd", "model.decoder.embed_positions"),
        ("dec.token_embd_norm", "model.decoder.layernorm_embedding"),
        ("dec.blk.{}.attn_q", "model.decoder.layers.{}.self_attn.q_proj"),
        ("dec.blk.{}.attn_k", "model.decoder.layers.{}.self_attn.k_proj"),
        ("dec.blk.{}.attn_v", "model.decoder.layers.{}.self_attn.v_proj"),
        ("dec.blk.{}.attn_o", "model.decoder.layers.{}.self_attn.out_proj"),
        ("dec.blk.{}.post_attention_norm", "model.decoder.layers.{}.self_attn_layer_norm"),
        ("dec.blk.{}.cross_attn_q", "model.decoder.layers.{}.encoder_attn.q_proj"),
        ("dec.blk.{}.cross_attn_k", "model.decoder.layers.{}.encoder_attn.k_proj"),
        ("dec.blk.{}.cross_attn_v", "model.decoder.layers.{}.encoder_attn.v_proj"),
        ("dec.blk.{}.cross_attn_o", "model.decoder.layers.{}.encoder_attn.out_proj"),
        ("dec.blk.{}.post_cross_attn_norm", "model.decoder.layers.{}.encoder_attn_layer_norm"),
        ("dec.blk.{}.ffn_up", "model.decoder.layers.{}.fc1"),
        ("dec.blk.{}.ffn_down", "model.decoder.layers.{}.fc2"),
        ("dec.blk.{}.post_ffw_norm", "model.decoder.layers.{}.final_layer_norm"),
    ],
    ..COMMON
};

/// One of the two stacks; `keys` of its layers, heads and inner width.
fn stack(config: &Config, [layers, heads, width]: [&'static str; 3]) -> Result<Decoder> {
    let mut d = Decoder::with_layer_norms(config, Activation::Gelu)?;
    d.n_layers = config.usize_or(Key("", layers), d.n_layers)?;
    d.set_windows(0, |_| false);
    d.n_heads = config.usize_or(Key("", heads), d.n_heads)?;
    if d.n_heads == 0 || d.n_embd % d.n_heads != 0 {
        return Err(config.error(Key("", heads), &format!("{} columns are no {} heads", d.n_embd, d.n_heads)));
    }
    d.n_kv_heads = d.n_heads;
    d.head_dim = d.n_embd / d.n_heads;
    d.q_scale = 1.0 / (d.head_dim as f32).sqrt();
    d.n_ff = config.usize_or(Key("", width), d.n_ff)?;
    d.rope = None;
    d.learned_positions = Some(2);
    d.placement = NormPlacement::AfterResidual;
    if config.flag("scale_embedding", false) {
        d.embedding_scale = (d.n_embd as f32).sqrt();
    }
    Ok(d)
}
