//! A mark in generated text that a key finds again. The maths is in `shaders/watermark.wgsl`.

use sha2::Digest;

use super::roles;
use super::sampling::{RECENT_MAX, Sampler, SlotSampling, pcg3d};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static WATERMARK: Kernel = Kernel {
    name: "watermark",
    wgsl: wgsl!("watermark"),
    roles: &[],
    params: WatermarkParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct WatermarkParams { n_columns: u32 }
}

/// A key and what it does: the token before and the key draw a share of the vocabulary, whose logits
/// are raised. Who has the key counts how often a text keeps to these lists.
///
/// Source: Kirchenbauer et al. 2023, arXiv:2301.10226.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watermark {
    pub key: [u32; 2],
    /// The share of the vocabulary that is on a list.
    pub gamma: f32,
    /// Added to the logits of listed tokens.
    pub delta: f32,
}

impl Watermark {
    /// The mark of a secret text.
    pub fn new(secret: &str, gamma: f32, delta: f32) -> Watermark {
        let hash = sha2::Sha256::digest(secret.as_bytes());
        let word = |i: usize| u32::from_le_bytes([hash[i], hash[i + 1], hash[i + 2], hash[i + 3]]);
        Watermark { key: [word(0), word(4)], gamma, delta }
    }

    /// Whether `id` is on the list after the token `previous`.
    pub fn lists(&self, previous: u32, id: u32) -> bool {
        let bits = pcg3d([self.key[0] ^ previous, self.key[1], id])[1];
        ((bits >> 9) as f32) < self.gamma * 8_388_608.0
    }
}

/// Records the marks of each row's slot, in place. Shapes: `x: (n_rows, n_columns)`, f32,
/// `slots: (1, n_rows)`.
pub fn watermark(g: &mut Graph, x: Tensor, sampler: &Sampler, slots: Tensor) -> Result<()> {
    let per_workgroup = if g.caps().software() { 1024 } else { 512 };
    record(g, x, sampler, slots, per_workgroup)
}

fn record(g: &mut Graph, x: Tensor, sampler: &Sampler, slots: Tensor, per_workgroup: u32) -> Result<()> {
    let (_, wg_size) = roles::lanes(g.caps());
    let n_parts = (x.pitch() as u32 / 4).div_ceil(per_workgroup);
    g.launch(&WATERMARK)
        .config("PER_WORKGROUP", per_workgroup)
        .config("RECENT", RECENT_MAX as u32)
        .config("WG_SIZE", wg_size)
        .params(&WatermarkParams { n_columns: x.n_columns as u32 })
        .read(sampler.settings)
        .read(sampler.recent)
        .read(slots)
        .update(x)
        .grid([x.row_extent(1), Extent::Fixed(n_parts), Extent::Fixed(1)])
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: WatermarkParams = call.params();
    let pitch = call.pitch(3);
    let mut x = call.floats(3);
    let mut scales: Vec<f64> = x.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(3) {
        let slot = call.words(2)[t] as usize;
        let settings: &[SlotSampling] = bytemuck::cast_slice(call.words(0));
        let s = settings[slot];
        let mark = Watermark { key: s.watermark_key, gamma: s.watermark_gamma, delta: s.watermark_delta };
        let list = &call.words(1)[slot * (RECENT_MAX + 1)..][..RECENT_MAX + 1];
        let previous = list[(list[RECENT_MAX].max(1) as usize - 1) % RECENT_MAX];
        for c in (0..p.n_columns).filter(|&c| mark.lists(previous, c)) {
            let at = t * pitch + c as usize;
            x[at] += f64::from(mark.delta);
            scales[at] += f64::from(mark.delta);
        }
    }
    call.set_with_scales(3, x, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |(n_columns, length, gamma): (usize, u32, f32)| {
        let sizes = Sizes { n_outputs: 2, ..Default::default() };
        let name = format!("2x{n_columns} {length} tokens, gamma {gamma}");
        Case::new(name, sizes, move |g, inputs| {
            let x = inputs.tensor(g, Rows::up_to(3, Size::Outputs), n_columns, Dtype::F32);
            let mark = Watermark { key: [0x1234_5678, 0x9abc_def0], gamma, delta: 2.0 };
            let settings = [SlotSampling::default(), SlotSampling::default().marked(&mark)];
            let mut recent: Vec<u32> = (0..2 * (RECENT_MAX + 1)).map(|_| inputs.below(60)).collect();
            recent[RECENT_MAX] = length;
            recent[2 * RECENT_MAX + 1] = length;
            let sampler = Sampler {
                settings: inputs.words(g, bytemuck::cast_slice(&settings).to_vec()),
                recent: inputs.words(g, recent),
                last_token: g.none(),
            };
            let slots = inputs.words(g, vec![1, 0, 0]);
            record(g, x, &sampler, slots, 32)
        })
    };
    [(1000, 1, 0.25), (1000, 700, 0.5), (67, 256, 0.25), (3, 0, 0.5)].into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_share_and_depends_on_the_key_and_the_token_before() {
        let mark = Watermark { key: [1, 2], gamma: 0.25, delta: 2.0 };
        let list = |mark: &Watermark, previous| -> Vec<bool> {
            (0..20_000).map(|id| mark.lists(previous, id)).collect()
        };
        let share = |a: &[bool]| a.iter().filter(|v| **v).count() as f64 / 20_000.0;
        let both =
            |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && **b).count() as f64 / 20_000.0;
        let (own, after, other) =
            (list(&mark, 7), list(&mark, 8), list(&Watermark { key: [1, 3], ..mark }, 7));
        for list in [&own, &after, &other] {
            assert!((share(list) - 0.25).abs() < 0.015, "{}", share(list));
        }
        assert!((both(&own, &after) - 0.0625).abs() < 0.01 && (both(&own, &other) - 0.0625).abs() < 0.01);
    }
}
