//! Softmax of each row. The maths is in `shaders/softmax.wgsl`.

use super::roles::{self, LANES};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static SOFTMAX: Kernel = Kernel {
    name: "softmax",
    wgsl: wgsl!("softmax"),
    roles: &[&LANES],
    params: Softmax::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Softmax { n_columns: u32 }
}

/// Records the softmax of each row and returns it, f32. Shapes: (n_rows, n_columns).
pub fn softmax(g: &mut Graph, x: Tensor) -> Result<Tensor> {
    let variant = roles::lanes(g.caps());
    record(g, x, variant)
}

fn record(g: &mut Graph, x: Tensor, (lanes, wg_size): (&'static str, u32)) -> Result<Tensor> {
    let y = g.temp("softmax", x.rows, x.n_columns, Dtype::F32);
    g.launch(&SOFTMAX)
        .role(&LANES, lanes)
        .config("WG_SIZE", wg_size)
        .params(&Softmax { n_columns: x.n_columns as u32 })
        .read(x)
        .write(y)
        .grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(x.n_columns)
        .record()?;
    Ok(y)
}

/// The largest of a row and the sum of exp(x - largest).
pub(super) fn largest_and_sum(row: &[f64]) -> (f64, f64) {
    let largest = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    (largest, row.iter().map(|v| (v - largest).exp()).sum())
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Softmax = call.params();
    let (n, pitch) = (p.n_columns as usize, call.pitch(0));
    let (x, mut y) = (call.floats(0), call.floats(1));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(0) {
        let row = &x[t * pitch..t * pitch + n];
        let (largest, sum) = largest_and_sum(row);
        for c in 0..pitch {
            let at = t * pitch + c;
            y[at] = if c < n { (row[c] - largest).exp() / sum } else { 0.0 };
            // The exponent is a difference, whose rounding is relative to its parts.
            scales[at] = if c < n { y[at] * (1.0 + (row[c] - largest).abs()) } else { 0.0 };
        }
    }
    call.set_with_scales(1, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for (n_rows, n_columns) in [(1, 64), (3, 577), (2, 3)] {
            let sizes = Sizes { n_tokens: n_rows as u32, ..Default::default() };
            cases.push(Case::new(format!("{n_rows}x{n_columns} {}", variant.0), sizes, move |g, inputs| {
                let x = inputs.tensor(g, Rows::up_to(n_rows + 1, Size::Tokens), n_columns, Dtype::F32);
                record(g, x, variant).map(|_| ())
            }));
        }
    }
    cases
}
