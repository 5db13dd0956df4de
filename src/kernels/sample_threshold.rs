//! The lowest logit that may be drawn. The maths is in `shaders/sample_threshold.wgsl`.

use super::roles::{self, LANES};
use super::sampling::SlotSampling;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static SAMPLE_THRESHOLD: Kernel = Kernel {
    name: "sample_threshold",
    wgsl: wgsl!("sample_threshold"),
    roles: &[&LANES],
    params: SampleThreshold::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct SampleThreshold { n_columns: u32 }
}

/// Records the threshold of each row by the settings of its slot; returns it, (n_rows, 1).
pub fn sample_threshold(g: &mut Graph, x: Tensor, settings: Tensor, slots: Tensor) -> Result<Tensor> {
    let variant = roles::lanes(g.caps());
    record(g, x, settings, slots, variant)
}

fn record(
    g: &mut Graph,
    x: Tensor,
    settings: Tensor,
    slots: Tensor,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Tensor> {
    let y = g.temp("threshold", x.rows, 1, Dtype::F32);
    g.launch(&SAMPLE_THRESHOLD)
        .role(&LANES, lanes)
        .config("WG_SIZE", wg_size)
        .params(&SampleThreshold { n_columns: x.n_columns as u32 })
        .read(x)
        .read(settings)
        .read(slots)
        .write(y)
        .grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: SampleThreshold = call.params();
    let (n, pitch) = (p.n_columns as usize, call.pitch(0));
    let (x, mut y) = (call.floats(0), call.floats(3));
    for t in 0..call.n_rows(0) {
        let settings: &[SlotSampling] = bytemuck::cast_slice(call.words(1));
        let s = settings[call.words(2)[t] as usize];
        let mut sorted = x[t * pitch..t * pitch + n].to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let largest = sorted[0];
        if s.top_k > 0 && (s.top_k as usize) < n {
            let threshold = sorted[s.top_k as usize - 1];
            sorted.retain(|v| *v >= threshold);
        }
        if s.top_p < 1.0 {
            let mass = |v: f64| (v - largest).exp();
            let all: f64 = sorted.iter().map(|v| mass(*v)).sum();
            let mut sum = 0.0;
            let keep = sorted.iter().position(|v| {
                sum += mass(*v);
                sum >= f64::from(s.top_p) * all
            });
            sorted.truncate(keep.map_or(1, |at| at + 1));
        }
        let mut threshold = sorted[sorted.len() - 1];
        if s.top_p >= 1.0 && (s.top_k == 0 || s.top_k as usize >= n) {
            threshold = f64::from(-3.0e38f32);
        }
        if s.min_p > 0.0 {
            threshold = threshold.max(largest + f64::from(s.min_p).ln());
        }
        y[4 * t..4 * t + 4].copy_from_slice(&[threshold.min(largest), 0.0, 0.0, 0.0]);
    }
    call.set(3, y);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for (top_k, top_p, min_p) in [
            (0, 1.0, 0.0),
            (1, 1.0, 0.0),
            (40, 1.0, 0.0),
            (0, 0.9, 0.0),
            (40, 0.5, 0.0),
            (0, 1.0, 0.1),
            (50, 0.95, 0.05),
        ] {
            // The last vocabulary takes more rounds than software drivers grant one workgroup's loops.
            for n_columns in [1001, 30, 262_144] {
                let sizes = Sizes { n_outputs: 2, ..Default::default() };
                let name = format!("2x{n_columns} k {top_k} p {top_p} min {min_p} {}", variant.0);
                cases.push(Case::new(name, sizes, move |g, inputs| {
                    let x = inputs.tensor(g, Rows::up_to(3, Size::Outputs), n_columns, Dtype::F32);
                    let own = SlotSampling { top_k, top_p, min_p, temperature: 1.0, ..Default::default() };
                    let settings = [own, SlotSampling::default()];
                    let settings = inputs.words(g, bytemuck::cast_slice(&settings).to_vec());
                    let slots = inputs.words(g, vec![0, 1, 0]);
                    record(g, x, settings, slots, variant).map(|_| ())
                }));
            }
        }
    }
    cases
}
