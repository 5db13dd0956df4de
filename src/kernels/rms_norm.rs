//! Root-mean-square normalisation of each row. The maths is in `shaders/rms_norm.wgsl`.

use super::roles::{self, LANES, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    wgsl: wgsl!("rms_norm"),
    roles: &[&LANES, &REAL],
    params: RmsNorm::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct RmsNorm { n_quads: u32, eps: f32, y_pitch: u32, y_first: u32 }
}

/// Records `y = gain * x / rms(x)` and returns `y`, stored as `dtype`.
///
/// Shapes: `x, y: (n_tokens, n_channels)`, `gain: (1, n_channels)`.
/// Fails if `gain` and `x` disagree, or if n_channels is not a multiple of 4.
pub fn rms_norm(g: &mut Graph, x: Tensor, gain: Tensor, eps: f32, dtype: Dtype) -> Result<Tensor> {
    let (lanes, wg_size) = roles::lanes(g.caps());
    record(g, x, gain, eps, Target::New(dtype), lanes, wg_size)
}

/// As [`rms_norm`], into the columns from `first` on of `y`, f32. `first` is a multiple of 4.
pub fn rms_norm_at(g: &mut Graph, x: Tensor, gain: Tensor, eps: f32, y: Tensor, first: usize) -> Result<()> {
    let (lanes, wg_size) = roles::lanes(g.caps());
    record(g, x, gain, eps, Target::Columns { y, first }, lanes, wg_size).map(|_| ())
}

/// Where the result goes.
#[derive(Clone, Copy)]
enum Target {
    New(Dtype),
    Columns { y: Tensor, first: usize },
}

fn record(
    g: &mut Graph,
    x: Tensor,
    gain: Tensor,
    eps: f32,
    target: Target,
    lanes: &'static str,
    wg_size: u32,
) -> Result<Tensor> {
    g.expect(gain, 1, x.n_columns)?;
    g.expect_quads(x)?;
    let (y, first) = match target {
        Target::New(dtype) => (g.activations("norm", x.rows, x.n_columns, dtype), 0),
        Target::Columns { y, first } => (y, first),
    };
    let launch = g
        .launch(&RMS_NORM)
        .role(&LANES, lanes)
        .role(&REAL, roles::real_name(y.dtype))
        .config("WG_SIZE", wg_size)
        .params(&RmsNorm {
            n_quads: x.n_columns as u32 / 4,
            eps,
            y_pitch: y.pitch() as u32 / 4,
            y_first: first as u32 / 4,
        })
        .read(x)
        .read(gain);
    // The other columns keep what earlier launches wrote.
    let mut launch = if matches!(target, Target::New(_)) { launch.write(y) } else { launch.update(y) };
    if lanes == "cluster" {
        launch = launch.rounds(x.n_rows(), x.n_rows() * 2 * x.n_columns.div_ceil(32));
    }
    launch.grid([x.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)]).terms(x.n_columns).record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: RmsNorm = call.params();
    let n_channels = 4 * p.n_quads as usize;
    let (x, gain, mut y) = (call.floats(0), call.floats(1), call.floats(2));
    let n_tokens = call.n_rows(0);
    for t in 0..n_tokens {
        let row = t * n_channels..(t + 1) * n_channels;
        let out = 4 * (t * p.y_pitch as usize + p.y_first as usize);
        y[out..out + n_channels].copy_from_slice(&normed_row(&x[row], &gain, f64::from(p.eps)).0);
    }
    call.set(2, y);
    Ok(())
}

/// One row, and 1 / rms(x).
pub(super) fn normed_row(x: &[f64], gain: &[f64], eps: f64) -> (Vec<f64>, f64) {
    let mean_square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean_square + eps).sqrt();
    (x.iter().zip(gain).map(|(x, gain)| gain * x * scale).collect(), scale)
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for (lanes, wg_size) in roles::lanes_variants(caps) {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Q8Sums] {
            for (n_tokens, n_channels) in [(1, 64), (7, 576), (3, 100), (2, 4)] {
                let name = format!("{n_tokens}x{n_channels} {dtype:?} {lanes}");
                let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
                cases.push(Case::new(name, sizes, move |g, inputs| {
                    let x = inputs.tensor(g, Rows::up_to(n_tokens + 1, Size::Tokens), n_channels, Dtype::F32);
                    let gain = inputs.tensor(g, 1, n_channels, Dtype::F32);
                    record(g, x, gain, 1e-5, Target::New(dtype), lanes, wg_size).map(|_| ())
                }));
            }
        }
        let sizes = Sizes { n_tokens: 3, ..Default::default() };
        cases.push(Case::new(format!("3x36 of 100 {lanes}"), sizes, move |g, inputs| {
            let rows = Rows::up_to(4, Size::Tokens);
            let x = inputs.tensor(g, rows, 36, Dtype::F32);
            let gain = inputs.tensor(g, 1, 36, Dtype::F32);
            let y = inputs.tensor(g, rows, 100, Dtype::F32);
            record(g, x, gain, 1e-5, Target::Columns { y, first: 24 }, lanes, wg_size).map(|_| ())
        }));
    }
    cases
}
