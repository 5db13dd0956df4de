//! The negative log-likelihood of given tokens. The maths is in `shaders/nll.wgsl`.

use super::roles::{self, LANES};
use super::softmax::largest_and_sum;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static NLL: Kernel =
    Kernel { name: "nll", wgsl: wgsl!("nll"), roles: &[&LANES], params: Nll::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct Nll { n_columns: u32 }
}

/// Records `y[t] = log(sum_c exp(x[t, c])) - x[t, targets[t]]`, in nats, and returns `y`.
///
/// Shapes: `x: (n_rows, n_columns)`, f32, `targets: (1, n_rows)`, U32, `y: (n_rows, 1)`.
pub fn nll(g: &mut Graph, x: Tensor, targets: Tensor) -> Result<Tensor> {
    let variant = roles::lanes(g.caps());
    record(g, x, targets, variant)
}

fn record(
    g: &mut Graph,
    x: Tensor,
    targets: Tensor,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Tensor> {
    let y = g.temp("nll", x.rows, 1, Dtype::F32);
    g.launch(&NLL)
        .role(&LANES, lanes)
        .config("WG_SIZE", wg_size)
        .params(&Nll { n_columns: x.n_columns as u32 })
        .read(x)
        .read(targets)
        .write(y)
        .grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(x.n_columns)
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Nll = call.params();
    let (n, pitch) = (p.n_columns as usize, call.pitch(0));
    let (x, mut y) = (call.floats(0), call.floats(2));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(0) {
        let row = &x[t * pitch..t * pitch + n];
        let (largest, sum) = largest_and_sum(row);
        let own = row[(call.words(1)[t] as usize).min(n - 1)];
        y[4 * t..4 * t + 4].copy_from_slice(&[sum.ln() + (largest - own), 0.0, 0.0, 0.0]);
        scales[4 * t] = 1.0 + sum.ln() + largest.abs() + own.abs();
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for n_columns in [64, 577, 3] {
            let sizes = Sizes { n_outputs: 3, ..Default::default() };
            cases.push(Case::new(format!("3x{n_columns} {}", variant.0), sizes, move |g, inputs| {
                let x = inputs.tensor(g, Rows::up_to(4, Size::Outputs), n_columns, Dtype::F32);
                let targets = inputs.words(g, vec![0, n_columns as u32 - 1, 1, 0]);
                record(g, x, targets, variant).map(|_| ())
            }));
        }
    }
    cases
}
