//! Gemma 3 (text): q/k norm, five layers with a window to each global one, two rotary bases.
//!
//! Source: Gemma 3 Technical Report, arXiv:2503.19786, section 2.

use super::super::config::Key;
use super::super::decoder::QkNorm;
use super::{Architecture, COMMON, gemma2};

/// Constants of the architecture that GGUF files do not carry.
const LOCAL_BASE: f64 = 10_000.0;
const LAYERS_PER_GLOBAL: usize = 6;

pub static GEMMA3: Architecture = Architecture {
    names: &["gemma3", "gemma3_text"],
    title: "Gemma 3",
    describe: |config| {
        let mut decoder = gemma2::sandwich(config)?;
        decoder.qk_norm = QkNorm::PerHead;
        if let Some(rope) = &mut decoder.rope {
            rope.local_base =
                Some(config.f64_or(Key("rope.local.freq_base", "rope_local_base_freq"), LOCAL_BASE)?);
            let default_base = if config.is_hub() { 1e6 } else { rope.base };
            rope.base = config.f64_or(Key("rope.freq_base", "rope_theta"), default_base)?;
        }
        gemma2::set_windows(config, &mut decoder, LAYERS_PER_GLOBAL)?;
        Ok(decoder)
    },
    hub_names: gemma2::NAMES,
    ..COMMON
};
