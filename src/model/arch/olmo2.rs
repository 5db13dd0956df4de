//! OLMo 2: norms only after each half, before the addition; q and k normalised over all heads.
//!
//! Source: OLMo team 2024, arXiv:2501.00656, section 2.

use super::super::decoder::{Decoder, NormPlacement, QkNorm};
use super::{Architecture, COMMON};

pub static OLMO2: Architecture = Architecture {
    names: &["olmo2"],
    title: "OLMo 2",
    describe: |config| {
        let mut decoder = Decoder::sizes(config)?;
        decoder.placement = NormPlacement::After;
        decoder.qk_norm = QkNorm::Whole;
        Ok(decoder)
    },
    hub_names: &[
        ("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
        ("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"),
    ],
    ..COMMON
};
