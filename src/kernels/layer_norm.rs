//! Layer normalisation of each row. The maths is in `shaders/layer_norm.wgsl`.

use super::roles::{self, LANES, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static LAYER_NORM: Kernel = Kernel {
    name: "layer_norm",
    wgsl: wgsl!("layer_norm"),
    roles: &[&LANES, &REAL],
    params: LayerNorm::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct LayerNorm { n_quads: u32, eps: f32 }
}

/// Records `y = gain * (x - mean) / sqrt(var + eps) + bias` and returns `y`, stored as `dtype`.
///
/// Shapes: `x, y: (n_tokens, n_channels)`, `gain, bias: (1, n_channels)`.
/// Fails if they disagree, or if n_channels is not a multiple of 4.
pub fn layer_norm(
    g: &mut Graph,
    x: Tensor,
    gain: Tensor,
    bias: Option<Tensor>,
    eps: f32,
    dtype: Dtype,
) -> Result<Tensor> {
    let (lanes, wg_size) = roles::lanes(g.caps());
    record(g, x, [Some(gain), bias], eps, dtype, (lanes, wg_size))
}

fn record(
    g: &mut Graph,
    x: Tensor,
    [gain, bias]: [Option<Tensor>; 2],
    eps: f32,
    dtype: Dtype,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Tensor> {
    for vector in [gain, bias].into_iter().flatten() {
        g.expect(vector, 1, x.n_columns)?;
    }
    g.expect_quads(x)?;
    let none = g.none();
    let y = g.activations("norm", x.rows, x.n_columns, dtype);
    g.launch(&LAYER_NORM)
        .role(&LANES, lanes)
        .role(&REAL, roles::real_name(y.dtype))
        .config("HAS_BIAS", bias.is_some())
        .config("WG_SIZE", wg_size)
        .params(&LayerNorm { n_quads: x.n_columns as u32 / 4, eps })
        .read(x)
        .read(gain.unwrap_or(none))
        .read(bias.unwrap_or(none))
        .write(y)
        .grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(x.n_columns)
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: LayerNorm = call.params();
    let has_bias = call.config("HAS_BIAS")? != 0.0;
    let n = 4 * p.n_quads as usize;
    let (x, gain, bias, mut y) = (call.floats(0), call.floats(1), call.floats(2), call.floats(3));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(0) {
        let row = &x[t * n..(t + 1) * n];
        let mean = row.iter().sum::<f64>() / n as f64;
        let size = row.iter().map(|v| v.abs()).sum::<f64>() / n as f64;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
        let scale = 1.0 / (variance + f64::from(p.eps)).sqrt();
        for c in 0..n {
            let b = if has_bias { bias[c] } else { 0.0 };
            y[t * n + c] = gain[c] * (row[c] - mean) * scale + b;
            scales[t * n + c] = (gain[c] * scale).abs() * (row[c].abs() + size) + b.abs();
        }
    }
    call.set_with_scales(3, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for (dtype, has_bias) in [(Dtype::F32, true), (Dtype::F16, false), (Dtype::Q8Sums, true)] {
            for (n_tokens, n_channels) in [(1, 64), (7, 576), (3, 100)] {
                let name = format!("{n_tokens}x{n_channels} {dtype:?} {has_bias} {}", variant.0);
                let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
                cases.push(Case::new(name, sizes, move |g, inputs| {
                    let x = inputs.tensor(g, Rows::up_to(n_tokens + 1, Size::Tokens), n_channels, Dtype::F32);
                    let gain = inputs.tensor(g, 1, n_channels, Dtype::F32);
                    let bias = has_bias.then(|| inputs.tensor(g, 1, n_channels, Dtype::F32));
                    record(g, x, [Some(gain), bias], 1e-5, dtype, variant).map(|_| ())
                }));
            }
        }
    }
    cases
}
