//! Lowers the logits of recent tokens. The maths is in `shaders/penalise.wgsl`.

use super::roles;
use super::sampling::{RECENT_MAX, Sampler, SlotSampling};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static PENALISE: Kernel =
    Kernel { name: "penalise", wgsl: wgsl!("penalise"), roles: &[], params: Penalise::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct Penalise { n_columns: u32, pitch: u32 }
}

/// Records the penalties of each row's slot, in place. Shapes: `x: (n_rows, n_columns)`, f32,
/// `slots: (1, n_rows)`.
pub fn penalise(g: &mut Graph, x: Tensor, sampler: &Sampler, slots: Tensor) -> Result<()> {
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&PENALISE)
        .config("RECENT", RECENT_MAX as u32)
        .config("WG_SIZE", wg_size)
        .params(&Penalise { n_columns: x.n_columns as u32, pitch: x.pitch() as u32 })
        .read(sampler.settings)
        .read(sampler.recent)
        .read(slots)
        .update(x)
        .grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Penalise = call.params();
    let mut x = call.floats(3);
    let mut scales: Vec<f64> = x.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(3) {
        let slot = call.words(2)[t] as usize;
        let settings: &[SlotSampling] = bytemuck::cast_slice(call.words(0));
        let s = settings[slot];
        let list = &call.words(1)[slot * (RECENT_MAX + 1)..][..RECENT_MAX + 1];
        let length = list[RECENT_MAX] as usize;
        let n = length.min(s.n_recent as usize).min(RECENT_MAX);
        let mut counts = std::collections::BTreeMap::new();
        for i in 0..n {
            *counts.entry(list[(length - 1 - i) % RECENT_MAX]).or_insert(0u32) += 1;
        }
        for (token, count) in counts.into_iter().filter(|(token, _)| *token < p.n_columns) {
            let at = t * p.pitch as usize + token as usize;
            let r = f64::from(s.repetition_penalty);
            let repeated = if x[at] > 0.0 { x[at] / r } else { x[at] * r };
            let lowered = f64::from(s.frequency_penalty) * f64::from(count) + f64::from(s.presence_penalty);
            x[at] = repeated - lowered;
            scales[at] = repeated.abs() + lowered.abs();
        }
    }
    call.set_with_scales(3, x, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |(length, n_recent): (usize, u32)| {
        let sizes = Sizes { n_outputs: 2, ..Default::default() };
        Case::new(format!("2x50 {length} tokens, the last {n_recent}"), sizes, move |g, inputs| {
            let x = inputs.tensor(g, Rows::up_to(3, Size::Outputs), 50, Dtype::F32);
            let mut settings = [SlotSampling::default(); 2];
            settings[1] = SlotSampling {
                repetition_penalty: 1.3,
                presence_penalty: 0.5,
                frequency_penalty: 0.25,
                n_recent,
                ..Default::default()
            };
            let mut recent: Vec<u32> = (0..2 * (RECENT_MAX + 1)).map(|_| inputs.below(60)).collect();
            recent[RECENT_MAX] = length as u32;
            recent[2 * RECENT_MAX + 1] = length as u32;
            let sampler = Sampler {
                settings: inputs.words(g, bytemuck::cast_slice(&settings).to_vec()),
                recent: inputs.words(g, recent),
                last_token: g.none(),
            };
            let slots = inputs.words(g, vec![1, 0, 0]);
            penalise(g, x, &sampler, slots)
        })
    };
    [(1, 64), (40, 64), (900, 64), (900, 256), (30, 0)].into_iter().map(case).collect()
}
