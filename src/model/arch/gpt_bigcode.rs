//! GPT-BigCode (SantaCoder, StarCoder): GPT-2 with one key head for all.
//!
//! Source: Allal et al. 2023, arXiv:2301.03988, section 4.2; Shazeer 2019, arXiv:1911.02150.

use super::{Architecture, COMMON, QkvLayout, gpt2};

pub static GPT_BIGCODE: Architecture = Architecture {
    names: &["gpt_bigcode", "starcoder"],
    title: "GPT-BigCode",
    describe: |config| {
        let mut decoder = gpt2::describe(config)?;
        if config.is_hub() && config.flag("multi_query", true) {
            decoder.n_kv_heads = 1;
        }
        Ok(decoder)
    },
    hub_names: gpt2::NAMES,
    qkv: |config| {
        if config.is_hub() && !config.flag("multi_query", true) {
            QkvLayout::ByHead
        } else {
            QkvLayout::InTurn
        }
    },
    ..COMMON
};
