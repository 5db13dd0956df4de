//! Keeps logits within a cap. The maths is in `shaders/soft_cap.wgsl`.

use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static SOFT_CAP: Kernel =
    Kernel { name: "soft_cap", wgsl: wgsl!("soft_cap"), roles: &[], params: SoftCap::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct SoftCap { n_quads: u32, cap: f32 }
}

/// Quads of a row per workgroup.
const PER_WORKGROUP: u32 = 2048;

/// Records `x = cap * tanh(x / cap)`, in place. Shape: `x: (n_rows, n_columns)`, f32.
pub fn soft_cap(g: &mut Graph, x: Tensor, cap: f32) -> Result<()> {
    let n_quads = x.pitch() as u32 / 4;
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&SOFT_CAP)
        .config("PER_WORKGROUP", PER_WORKGROUP)
        .config("WG_SIZE", wg_size)
        .params(&SoftCap { n_quads, cap })
        .update(x)
        .grid([x.row_extent(1), Extent::Fixed(n_quads.div_ceil(PER_WORKGROUP)), Extent::Fixed(1)])
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: SoftCap = call.params();
    let mut x = call.floats(0);
    let mut scales: Vec<f64> = x.iter().map(|v| v.abs()).collect();
    let cap = f64::from(p.cap);
    for i in 0..call.n_rows(0) * call.pitch(0) {
        x[i] = cap * (x[i] / cap).tanh();
        // Devices make tanh of exponentials, with an error relative to 1.
        scales[i] = 4.0 * cap;
    }
    call.set_with_scales(0, x, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |(n_columns, cap): (usize, f32)| {
        let sizes = Sizes { n_outputs: 2, ..Default::default() };
        Case::new(format!("2x{n_columns} cap {cap}"), sizes, move |g, inputs| {
            let x = inputs.tensor(g, Rows::up_to(3, Size::Outputs), n_columns, Dtype::F32);
            soft_cap(g, x, cap)
        })
    };
    [(33, 0.5), (20_000, 30.0), (64, 0.02)].into_iter().map(case).collect()
}
