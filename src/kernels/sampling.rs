//! How the next token is chosen: the settings of a slot, and the launches in order.

use super::argmax::{self, Score};
use super::next_token::next_token;
use super::penalise::penalise;
use super::sample_threshold::sample_threshold;
use super::watermark::{Watermark, watermark};
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};

/// Tokens of a sequence that penalties can look back on.
pub const RECENT_MAX: usize = 256;

/// How the next token of a slot is chosen: penalties, the watermark, then top-k, top-p and min-p on the
/// probabilities as the model gives them, then the temperature.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SlotSampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps the likeliest tokens that have this much of the probability. 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this likely, relative to the likeliest. 0 keeps all.
    pub min_p: f32,
    /// Divides the logits of recent tokens. 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of recent tokens.
    pub presence_penalty: f32,
    /// Subtracted from the logits of recent tokens, times their count.
    pub frequency_penalty: f32,
    /// Keeps this many of the likeliest tokens. 0 keeps all.
    pub top_k: u32,
    /// Tokens that penalties look back on, at most [`RECENT_MAX`].
    pub n_recent: u32,
    /// The same seed draws the same tokens.
    pub seed: u32,
    /// Added to the logits of a keyed share of the vocabulary; see [`Watermark`]. 0 marks nothing.
    pub watermark_delta: f32,
    pub watermark_gamma: f32,
    pub watermark_key: [u32; 2],
}

impl Default for SlotSampling {
    /// The likeliest token, without penalties.
    fn default() -> SlotSampling {
        SlotSampling {
            temperature: 0.0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            top_k: 0,
            n_recent: 64,
            seed: 0,
            watermark_delta: 0.0,
            watermark_gamma: 0.25,
            watermark_key: [0; 2],
        }
    }
}

impl SlotSampling {
    /// Whether the likeliest token is taken as the model gives it.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
            && self.repetition_penalty == 1.0
            && self.presence_penalty == 0.0
            && self.frequency_penalty == 0.0
            && self.watermark_delta == 0.0
    }

    /// The same, leaving a mark in what is generated.
    pub fn marked(self, mark: &Watermark) -> SlotSampling {
        SlotSampling {
            watermark_delta: mark.delta,
            watermark_gamma: mark.gamma,
            watermark_key: mark.key,
            ..self
        }
    }

    /// Fails with the name of the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top-p", self.top_p, 0.0, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
            ("repetition penalty", self.repetition_penalty, 0.01, 100.0),
            ("presence penalty", self.presence_penalty, -100.0, 100.0),
            ("frequency penalty", self.frequency_penalty, -100.0, 100.0),
            ("watermark delta", self.watermark_delta, 0.0, 100.0),
            ("watermark gamma", self.watermark_gamma, 0.01, 0.99),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::Input(format!("{name}: expected {low} to {high}, found {value}")));
            }
        }
        if self.n_recent as usize > RECENT_MAX {
            return Err(Error::Input(format!(
                "penalties look back on {RECENT_MAX} tokens at most, {} were asked for",
                self.n_recent
            )));
        }
        Ok(())
    }
}

/// Three words mixed so that every bit of the result depends on all of them (`shaders/pcg3d.wgsl`).
pub(super) fn pcg3d(words: [u32; 3]) -> [u32; 3] {
    let mut v = words.map(|v| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[2]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        if round == 0 {
            v = v.map(|v| v ^ v >> 16);
        }
    }
    v
}

/// The state of sampling, for all slots. All U32 tensors.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    /// (n_slots) of [`SlotSampling`].
    pub settings: Tensor,
    /// (n_slots, RECENT_MAX + 1): the token of position p at p % RECENT_MAX, then the length.
    pub recent: Tensor,
    /// (n_slots)
    pub last_token: Tensor,
}

/// What was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Sampled {
    /// (1, n_outputs)
    pub tokens: Tensor,
}

/// Records the choice of a token for each row of `logits`, and stores it where the next step's
/// embedding reads it. `greedy` ignores the settings and takes the likeliest.
///
/// Shapes: `logits: (n_outputs, n_vocab)`, changed in place by penalties; `slots, positions:
/// (1, n_outputs)`: the slot of each row and the position of its new token.
pub fn sample(
    g: &mut Graph,
    logits: Tensor,
    sampler: &Sampler,
    slots: Tensor,
    positions: Tensor,
    greedy: bool,
) -> Result<Sampled> {
    let score = if greedy {
        Score::Greedy
    } else {
        penalise(g, logits, sampler, slots)?;
        watermark(g, logits, sampler, slots)?;
        let thresholds = sample_threshold(g, logits, sampler.settings, slots)?;
        Score::Sampled { settings: sampler.settings, slots, positions, thresholds }
    };
    let best = argmax::argmax(g, logits, score)?;
    let tokens = next_token(g, &best, sampler, slots, positions)?;
    Ok(Sampled { tokens })
}
