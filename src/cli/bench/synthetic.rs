//! Descriptions of well-known models, for `--synthetic`: their sizes are real, their weights made up.

use crate::error::{Error, Result};
use crate::tensor::{Format, Shape, format};
use crate::weights::{Metadata, Value, Weights, vector_format};

struct Size {
    name: &'static str,
    architecture: &'static str,
    n_layers: u32,
    n_embd: u32,
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    n_ff: u32,
    n_vocab: u32,
    tied: bool,
    rope_base: f32,
    /// Positions that layers with a window see.
    window: Option<u32>,
    /// Norms of each head's queries and keys.
    qk_norm: bool,
    /// Norms after attention and feed-forward, too.
    post_norms: bool,
}

const LLAMA: Size = Size {
    name: "",
    architecture: "llama",
    n_layers: 0,
    n_embd: 0,
    n_heads: 0,
    n_kv_heads: 0,
    head_dim: 64,
    n_ff: 0,
    n_vocab: 0,
    tied: false,
    rope_base: 10_000.0,
    window: None,
    qk_norm: false,
    post_norms: false,
};
const QWEN3: Size =
    Size { architecture: "qwen3", head_dim: 128, n_vocab: 151_936, rope_base: 1e6, qk_norm: true, ..LLAMA };
const GEMMA3: Size = Size {
    architecture: "gemma3",
    head_dim: 256,
    n_vocab: 262_144,
    tied: true,
    rope_base: 1e6,
    window: Some(512),
    qk_norm: true,
    post_norms: true,
    ..LLAMA
};

/// (layers, width, heads, key heads, feed-forward)
const fn sized(base: Size, name: &'static str, n: (u32, u32, u32, u32, u32)) -> Size {
    Size { name, n_layers: n.0, n_embd: n.1, n_heads: n.2, n_kv_heads: n.3, n_ff: n.4, ..base }
}

const fn vocab(base: Size, n_vocab: u32, tied: bool) -> Size {
    Size { n_vocab, tied, ..base }
}

static SIZES: &[Size] = &[
    // For tests.
    sized(vocab(LLAMA, 1024, true), "llama-2m", (2, 256, 4, 2, 512)),
    sized(vocab(LLAMA, 49_152, true), "llama-135m", (30, 576, 9, 3, 1536)),
    sized(vocab(LLAMA, 128_256, true), "llama-1b", (16, 2048, 32, 8, 8192)),
    sized(Size { head_dim: 128, ..vocab(LLAMA, 128_256, true) }, "llama-3b", (28, 3072, 24, 8, 8192)),
    sized(Size { head_dim: 128, ..vocab(LLAMA, 32_000, false) }, "llama-7b", (32, 4096, 32, 32, 11_008)),
    sized(Size { head_dim: 128, ..vocab(LLAMA, 128_256, false) }, "llama-8b", (32, 4096, 32, 8, 14_336)),
    sized(Size { tied: true, ..QWEN3 }, "qwen3-0.6b", (28, 1024, 16, 8, 3072)),
    sized(Size { tied: true, ..QWEN3 }, "qwen3-1.7b", (28, 2048, 16, 8, 6144)),
    sized(Size { tied: true, ..QWEN3 }, "qwen3-4b", (36, 2560, 32, 8, 9728)),
    sized(QWEN3, "qwen3-8b", (36, 4096, 32, 8, 12_288)),
    sized(GEMMA3, "gemma3-270m", (18, 640, 4, 1, 2048)),
    sized(GEMMA3, "gemma3-1b", (26, 1152, 4, 1, 6912)),
];

/// The weights that `ARCH-SIZE:FORMAT` names.
pub fn weights(text: &str, seed: u64) -> Result<Weights> {
    let known = || SIZES.iter().map(|size| size.name).collect::<Vec<_>>().join(", ");
    let (name, wanted) = text.split_once(':').ok_or_else(|| {
        Error::Input(format!(
            "--synthetic {text}: expected ARCH-SIZE:FORMAT such as llama-1b:q4_k; sizes: {}",
            known()
        ))
    })?;
    let size = SIZES
        .iter()
        .find(|size| size.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| Error::Input(format!("--synthetic {text}: no size {name}; there are: {}", known())))?;
    let format = format::by_name(&wanted.to_uppercase())?;
    Weights::synthetic(text, metadata(size, text)?, tensors(size, format), seed)
}

fn metadata(size: &Size, name: &str) -> Result<Metadata> {
    let mut metadata = Metadata::new(name);
    metadata.insert("general.architecture", Value::String(size.architecture.into()))?;
    metadata.insert("general.name", Value::String(name.into()))?;
    for (key, value) in [
        ("block_count", size.n_layers),
        ("embedding_length", size.n_embd),
        ("attention.head_count", size.n_heads),
        ("attention.head_count_kv", size.n_kv_heads),
        ("attention.key_length", size.head_dim),
        ("feed_forward_length", size.n_ff),
        ("context_length", 32_768),
        ("attention.sliding_window", size.window.unwrap_or(0)),
    ] {
        metadata.insert(format!("{}.{key}", size.architecture), Value::U32(value))?;
    }
    for (key, value) in [("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", size.rope_base)] {
        metadata.insert(format!("{}.{key}", size.architecture), Value::F32(value))?;
    }
    Ok(metadata)
}

fn tensors(size: &Size, format: &'static Format) -> Vec<(String, Shape, &'static Format)> {
    let mut tensors = Vec::new();
    let eight = format::by_name("Q8_0").expect("Q8_0 is a format");
    // Rows that are no whole number of blocks get the format that real files fall back to.
    let mut matrix = |name: String, n_rows: u32, n_columns: u32| {
        let fits = (n_columns as usize).is_multiple_of(format.block_len);
        let shape = Shape::new([n_rows as usize, n_columns as usize]);
        tensors.push((format!("{name}.weight"), shape, if fits { format } else { eight }));
    };
    let (n_q, n_kv) = (size.n_heads * size.head_dim, size.n_kv_heads * size.head_dim);
    matrix("token_embd".into(), size.n_vocab, size.n_embd);
    if !size.tied {
        matrix("output".into(), size.n_vocab, size.n_embd);
    }
    for i in 0..size.n_layers {
        for (name, n_rows, n_columns) in [
            ("attn_q", n_q, size.n_embd),
            ("attn_k", n_kv, size.n_embd),
            ("attn_v", n_kv, size.n_embd),
            ("attn_output", size.n_embd, n_q),
            ("ffn_gate", size.n_ff, size.n_embd),
            ("ffn_up", size.n_ff, size.n_embd),
            ("ffn_down", size.n_embd, size.n_ff),
        ] {
            matrix(format!("blk.{i}.{name}"), n_rows, n_columns);
        }
    }
    let mut norm = |name: String, len: u32| {
        tensors.push((format!("{name}.weight"), Shape::new([len as usize]), vector_format()));
    };
    norm("output_norm".into(), size.n_embd);
    for i in 0..size.n_layers {
        norm(format!("blk.{i}.attn_norm"), size.n_embd);
        norm(format!("blk.{i}.ffn_norm"), size.n_embd);
        if size.qk_norm {
            norm(format!("blk.{i}.attn_q_norm"), size.head_dim);
            norm(format!("blk.{i}.attn_k_norm"), size.head_dim);
        }
        if size.post_norms {
            norm(format!("blk.{i}.post_attention_norm"), size.n_embd);
            norm(format!("blk.{i}.post_ffw_norm"), size.n_embd);
        }
    }
    tensors
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{Engine, EngineOptions};
    use crate::gpu::{Gpu, Options};
    use crate::model::{LoadOptions, Model, describe};

    #[test]
    fn made_up_models_compute_numbers_and_the_same_ones_again() {
        let gpu = Gpu::open(&Options::default()).expect("an adapter");
        let load = LoadOptions { tokenizer_optional: true, ..LoadOptions::default() };
        let logits = |text: &str, seed| {
            let weights = weights(text, seed).expect("a known size");
            let model = Model::from_weights(&gpu, &weights, &load, &mut |_| {}).expect("a model");
            let options = EngineOptions { context: 32, chunk: 8, ..EngineOptions::default() };
            let mut engine = Engine::new(Arc::new(model), options).expect("an engine");
            engine.logits(&[1, 2, 3], 1).expect("logits").remove(0)
        };
        for format in ["q8_0", "q4_1", "q4_k", "q2_k", "mxfp4"] {
            let found = logits(&format!("llama-2m:{format}"), 1);
            let largest =
                found.iter().fold(0.0f32, |m, v| if v.is_finite() { m.max(v.abs()) } else { f32::NAN });
            assert!(largest > 1e-3 && largest < 1e3, "{format}: the largest of the logits is {largest}");
        }
        assert_eq!(logits("llama-2m:q8_0", 1), logits("llama-2m:q8_0", 1));
        assert_ne!(logits("llama-2m:q8_0", 1), logits("llama-2m:q8_0", 2));
    }

    #[test]
    fn every_size_is_a_model_that_can_be_described() {
        for size in SIZES {
            let weights = weights(&format!("{}:q4_k", size.name), 1).expect("tensors of whole blocks");
            let (_, decoder) = describe(&weights).expect("a description");
            assert_eq!((decoder.n_layers, decoder.n_vocab), (size.n_layers as usize, size.n_vocab as usize));
        }
        let message = |text: &str| weights(text, 1).err().expect("no such size").to_string();
        assert!(message("llama-9z:q4_k").contains("llama-135m"));
        assert!(message("llama-135m").contains("ARCH-SIZE:FORMAT"));
        assert!(message("llama-135m:q9").contains("not a weight format"));
    }
}
