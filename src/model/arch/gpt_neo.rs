//! GPT-Neo, the public form of GPT-3's alternation of dense and locally banded sparse layers. Scores
//! are not scaled.
//!
//! Source: Brown et al. 2020, arXiv:2005.14165, section 2.1; Child et al. 2019, arXiv:1904.10509.

use super::super::config::Key;
use super::{Architecture, COMMON, gpt2};

pub static GPT_NEO: Architecture = Architecture {
    names: &["gpt_neo"],
    title: "GPT-Neo",
    describe: |config| {
        let mut decoder = gpt2::describe(config)?;
        decoder.q_scale = 1.0;
        let window = config.usize_or(Key("", "window_size"), 256)?;
        let layers = config.json("attention_layers").and_then(|layers| layers.as_array());
        decoder.set_windows(window, |layer| match layers.and_then(|layers| layers.get(layer)) {
            Some(kind) => kind == "local",
            None => layer % 2 == 1,
        });
        Ok(decoder)
    },
    hub_names: &[
        ("token_embd", "transformer.wte"),
        ("position_embd", "transformer.wpe"),
        ("output_norm", "transformer.ln_f"),
        ("blk.{}.attn_norm", "transformer.h.{}.ln_1"),
        ("blk.{}.attn_q", "transformer.h.{}.attn.attention.q_proj"),
        ("blk.{}.attn_k", "transformer.h.{}.attn.attention.k_proj"),
        ("blk.{}.attn_v", "transformer.h.{}.attn.attention.v_proj"),
        ("blk.{}.attn_output", "transformer.h.{}.attn.attention.out_proj"),
        ("blk.{}.ffn_norm", "transformer.h.{}.ln_2"),
        ("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc"),
        ("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj"),
    ],
    ..COMMON
};
