//! The best arithmetic of a device, for `bench kernels`. The maths is in `shaders/peak_fma.wgsl`.

use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, params, wgsl};

pub static PEAK_FMA: Kernel =
    Kernel { name: "peak_fma", wgsl: wgsl!("peak_fma"), roles: &[], params: PeakFma::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct PeakFma { a: f32, b: f32 }
}

/// Records `n_rounds` multiply-adds of 32 numbers per lane. Returns the operations of one run.
pub fn peak_fma(g: &mut Graph, n_workgroups: u32, n_rounds: u32) -> Result<f64> {
    let (_, wg_size) = roles::lanes(g.caps());
    let y = g.temp("peak", 1, (n_workgroups * wg_size * 4) as usize, Dtype::F32);
    g.launch(&PEAK_FMA)
        .config("N_ROUNDS", n_rounds)
        .config("WG_SIZE", wg_size)
        .params(&PeakFma { a: 0.5, b: 1.0 })
        .write(y)
        .grid([Extent::Fixed(n_workgroups), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(n_rounds as usize)
        .record()?;
    Ok(f64::from(n_workgroups) * f64::from(wg_size) * f64::from(n_rounds) * 64.0)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: PeakFma = call.params();
    let n_rounds = call.config_usize("N_ROUNDS")?;
    let mut y = call.floats(0);
    let mut scales = y.clone();
    for (i, y) in y.iter_mut().enumerate() {
        *y = 0.0;
        for chain in 0..8 {
            let mut x = (i / 4 + chain) as f64;
            for _ in 0..n_rounds {
                x = x * f64::from(p.a) + f64::from(p.b);
            }
            *y += x;
        }
        scales[i] = y.abs();
    }
    call.set_with_scales(0, y, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    vec![Case::new("4 workgroups of 10 rounds", Sizes::default(), |g, _| peak_fma(g, 4, 10).map(|_| ()))]
}
