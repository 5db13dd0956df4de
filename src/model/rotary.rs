//! How a file describes its rotary positions.

use super::config::{Config, Key};
use crate::error::{Error, Result};
use crate::kernels::{Pairs, Scaling};

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// The first dimensions of each head, which rotate.
    pub dim: usize,
    pub pairs: Pairs,
    pub base: f64,
    /// The base of layers with a window, where it is another one.
    pub local_base: Option<f64>,
    pub scaling: Scaling,
}

/// The rotation that a file's settings give, with pairs half a head apart.
pub fn of(config: &Config, head_dim: usize) -> Result<Rope> {
    let share = config.f64_or(Key("", "partial_rotary_factor|rotary_pct"), 1.0)?;
    let dim =
        config.usize_or(Key("rope.dimension_count", "rotary_dim"), (share * head_dim as f64) as usize)?;
    Ok(Rope {
        dim: dim.min(head_dim),
        pairs: Pairs::Halves,
        base: config.f64_or(Key("rope.freq_base", "rope_theta|rotary_emb_base"), 10_000.0)?,
        local_base: None,
        scaling: scaling(config)?,
    })
}

/// How the rotations are stretched for contexts longer than the model was trained on.
fn scaling(config: &Config) -> Result<Scaling> {
    let Some(json) = config.json("rope_scaling") else { return gguf_scaling(config) };
    let number = |name: &str| json.get(name).and_then(serde_json::Value::as_f64);
    let kind = json.get("rope_type").or(json.get("type")).and_then(serde_json::Value::as_str).unwrap_or("");
    let key = Key("rope.scaling.type", "rope_scaling");
    let needed =
        |name: &str| number(name).ok_or_else(|| config.error(key, &format!("expected a number {name}")));
    let n_context = config.f64_or(Key("context_length", "max_position_embeddings"), 2048.0)?;
    let original_context = number("original_max_position_embeddings").unwrap_or(n_context);
    match kind {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor: needed("factor")? }),
        "llama3" => Ok(Scaling::Llama3 {
            factor: needed("factor")?,
            low_freq_factor: needed("low_freq_factor")?,
            high_freq_factor: needed("high_freq_factor")?,
            original_context,
        }),
        "yarn" => Ok(Scaling::Yarn {
            factor: needed("factor")?,
            original_context,
            beta_fast: number("beta_fast").unwrap_or(32.0),
            beta_slow: number("beta_slow").unwrap_or(1.0),
            attention_factor: number("attention_factor"),
        }),
        _ => {
            Err(Error::Unsupported(format!("rope scaling \"{kind}\"; known: default, linear, llama3, yarn")))
        }
    }
}

fn gguf_scaling(config: &Config) -> Result<Scaling> {
    let factor = config.f64_or(Key("rope.scaling.factor", ""), 1.0)?;
    let n_context = config.f64_or(Key("context_length", ""), 2048.0)?;
    match config.text(Key("rope.scaling.type", "")) {
        None | Some("none") => Ok(Scaling::None),
        Some("linear") => Ok(Scaling::Linear { factor }),
        Some("yarn") => Ok(Scaling::Yarn {
            factor,
            original_context: config.f64_or(Key("rope.scaling.original_context_length", ""), n_context)?,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
        }),
        Some(kind) => Err(Error::Unsupported(format!("rope scaling \"{kind}\"; known: none, linear, yarn"))),
    }
}
