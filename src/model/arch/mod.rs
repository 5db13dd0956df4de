//! The architectures, one file each. A new one is a file and a line in the list.

mod albert;
mod bart;
mod bert;
mod bloom;
mod distilbert;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt;
mod gpt2;
mod gpt_bigcode;
mod gpt_neo;
mod gpt_neox;
mod gptj;
mod llama;
mod mistral;
mod mixtral;
mod modernbert;
mod olmo2;
mod opt;
mod phi;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod roberta;
mod stablelm;
mod starcoder2;
mod switch;
mod t5;

use super::config::Config;
use super::decoder::Decoder;
use super::names::Names;
use crate::error::{Error, Result};

/// How a family of models maps its files to a description.
pub struct Architecture {
    /// Names in GGUF (`general.architecture`) and in `config.json` (`model_type`).
    pub names: &'static [&'static str],
    /// For people.
    pub title: &'static str,
    pub describe: fn(&Config) -> Result<Decoder>,
    /// Of encoder-decoders: the encoder, its tensors named `enc.`, the decoder's `dec.`.
    pub encoder: Option<fn(&Config) -> Result<Decoder>>,
    /// What the hub's files call tensors, where it differs from the common names.
    pub hub_names: Names,
    /// How queries, keys and values stand in one tensor.
    pub qkv: fn(&Config) -> QkvLayout,
    /// The hub's files have linear layers as (n_columns, n_rows).
    pub transposed: bool,
    /// Gate and up are one tensor, the gate's rows first.
    pub fused_gate_up: bool,
}

/// The rows of a tensor that holds q, k and v.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkvLayout {
    /// All of q, then k, then v.
    InTurn,
    /// q, k and v of the first head, then of the second.
    ByHead,
}

/// What most families are like.
const COMMON: Architecture = Architecture {
    names: &[],
    title: "",
    describe: Decoder::sizes,
    encoder: None,
    hub_names: &[],
    qkv: |_| QkvLayout::InTurn,
    transposed: false,
    fused_gate_up: false,
};

pub static ARCHITECTURES: &[&Architecture] = &[
    &albert::ALBERT,
    &bart::BART,
    &bert::BERT,
    &bloom::BLOOM,
    &distilbert::DISTILBERT,
    &falcon::FALCON,
    &gemma::GEMMA,
    &gemma2::GEMMA2,
    &gemma3::GEMMA3,
    &gpt::GPT,
    &gpt2::GPT2,
    &gpt_bigcode::GPT_BIGCODE,
    &gpt_neo::GPT_NEO,
    &gpt_neox::GPT_NEOX,
    &gptj::GPTJ,
    &llama::LLAMA,
    &mistral::MISTRAL,
    &mixtral::MIXTRAL,
    &modernbert::MODERNBERT,
    &olmo2::OLMO2,
    &opt::OPT,
    &phi::PHI,
    &phi3::PHI3,
    &qwen2::QWEN2,
    &qwen3::QWEN3,
    &qwen3_moe::QWEN3_MOE,
    &roberta::ROBERTA,
    &stablelm::STABLELM,
    &starcoder2::STARCODER2,
    &switch::SWITCH,
    &t5::T5,
];

/// The architecture of a file.
pub fn of(config: &Config) -> Result<&'static Architecture> {
    let name = config.architecture()?;
    ARCHITECTURES.iter().copied().find(|a| a.names.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES.iter().flat_map(|a| a.names.iter().copied()).collect();
        let near = nearest(name, &known);
        Error::Unsupported(format!(
            "architecture \"{name}\" is not known; nearest: {near}; known: {}",
            known.join(", ")
        ))
    })
}

/// The known name with the longest common beginning.
fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let common = |other: &str| name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    known
        .iter()
        .copied()
        .max_by_key(|other| (common(other), std::cmp::Reverse(other.len())))
        .unwrap_or("none")
}
