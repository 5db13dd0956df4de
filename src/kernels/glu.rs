//! The activation of a gated feed-forward layer. The maths is in `shaders/glu.wgsl`.

use super::roles::{self, ACTIVATION, Activation, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static GLU: Kernel = Kernel {
    name: "glu",
    wgsl: wgsl!("glu"),
    roles: &[&ACTIVATION, &REAL],
    params: Glu::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Glu { n_quads: u32 }
}

/// Records `y = f(gate) * up` and returns `y`, stored as `dtype`.
///
/// Shapes: all (n_tokens, n_channels). Fails if they disagree.
pub fn glu(g: &mut Graph, gate: Tensor, up: Tensor, activation: Activation, dtype: Dtype) -> Result<Tensor> {
    g.expect(up, gate.n_rows(), gate.n_columns)?;
    g.expect_quads(gate)?;
    let y = g.activations("glu", gate.rows, gate.n_columns, dtype);
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&GLU)
        .role(&ACTIVATION, activation.name())
        .role(&REAL, roles::real_name(dtype))
        .config("WG_SIZE", wg_size)
        .params(&Glu { n_quads: gate.n_columns as u32 / 4 })
        .read(gate)
        .read(up)
        .write(y)
        .grid([gate.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let activation = Activation::by_name(call.role("activation")).unwrap_or(Activation::Identity);
    let (gate, up, mut y) = (call.floats(0), call.floats(1), call.floats(2));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for i in 0..call.n_rows(0) * call.pitch(0) {
        y[i] = activation.apply(gate[i]) * up[i];
        // Functions of the form x (1 + g(x)) cancel where x is far below zero.
        // Devices make tanh of exponentials, with an error relative to 1.
        let size = if activation == Activation::Tanh { gate[i].abs().max(1.0) } else { gate[i].abs() };
        scales[i] = 4.0 * size * up[i].abs();
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for activation in Activation::ALL {
        for (n_channels, dtype) in [(36, Dtype::F32), (1536, Dtype::F16)] {
            let sizes = Sizes { n_tokens: 3, ..Default::default() };
            let name = format!("3x{n_channels} {activation:?} {dtype:?}");
            cases.push(Case::new(name, sizes, move |g, inputs| {
                let rows = Rows::up_to(4, Size::Tokens);
                let gate = inputs.tensor(g, rows, n_channels, Dtype::F32);
                let up = inputs.tensor(g, rows, n_channels, Dtype::F32);
                glu(g, gate, up, activation, dtype).map(|_| ())
            }));
        }
    }
    cases
}
