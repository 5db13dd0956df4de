//! Gemma 3 (text): sandwich norms, q/k norm, five layers with a window to each global one, two rotary
//! bases, GeGLU, scaled embeddings.
//!
//! Source: Gemma 3 Technical Report, arXiv:2503.19786, section 2.

use super::super::config::{Config, Key};
use super::super::decoder::{Decoder, FeedForward};
use super::Architecture;
use crate::kernels::Activation;

/// Constants of the architecture that GGUF files do not carry.
const LOCAL_BASE: f64 = 10_000.0;
const LAYERS_PER_GLOBAL: usize = 6;

pub static GEMMA3: Architecture = Architecture {
    names: &["gemma3", "gemma3_text"],
    title: "Gemma 3",
    describe: |config: &Config| {
        let mut decoder = Decoder::sizes(config)?;
        let per_head = config.f64_or(Key("attention.query_pre_attn_scalar", "query_pre_attn_scalar"), 0.0)?;
        if per_head > 0.0 {
            decoder.q_scale = 1.0 / (per_head as f32).sqrt();
        }
        decoder.qk_norm = true;
        decoder.post_norms = true;
        // Hub files store gain - 1; GGUF files store the gain.
        decoder.gain_offset = if config.is_hub() { 1.0 } else { 0.0 };
        decoder.embedding_scale = (decoder.n_embd as f32).sqrt();
        decoder.feed_forward = FeedForward::Gated(Activation::GeluTanh);
        decoder.rope.local_base =
            Some(config.f64_or(Key("rope.local.freq_base", "rope_local_base_freq"), LOCAL_BASE)?);
        let default_base = if config.is_hub() { 1e6 } else { decoder.rope.base };
        decoder.rope.base = config.f64_or(Key("rope.freq_base", "rope_theta"), default_base)?;
        decoder.tied = config.flag("tie_word_embeddings", true);
        let window = config.usize_or(Key("attention.sliding_window", "sliding_window"), 0)? as u32;
        let types = config.json("layer_types").and_then(|types| types.as_array());
        decoder.windows = (0..decoder.n_layers)
            .map(|layer| {
                let global = match types.and_then(|types| types.get(layer)) {
                    Some(kind) => kind == "full_attention",
                    None => (layer + 1) % LAYERS_PER_GLOBAL == 0,
                };
                (!global && window > 0).then_some(window)
            })
            .collect();
        Ok(decoder)
    },
};
