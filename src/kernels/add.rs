//! Adds one tensor to another. The maths is in `shaders/add.wgsl`.

use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ADD: Kernel =
    Kernel { name: "add", wgsl: wgsl!("add"), roles: &[], params: Add::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct Add { n_quads: u32 }
}

/// Records `y += x`, in place.
///
/// Shapes: `x, y: (n_tokens, n_channels)`, f32. Fails if they disagree.
pub fn add(g: &mut Graph, y: Tensor, x: Tensor) -> Result<()> {
    g.expect(x, y.n_rows(), y.n_columns)?;
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&ADD)
        .config("WG_SIZE", wg_size)
        .params(&Add { n_quads: y.pitch() as u32 / 4 })
        .read(x)
        .update(y)
        .grid([y.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .rounds(y.n_rows(), y.n_rows() * y.n_columns.div_ceil(4 * wg_size as usize))
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let (x, mut y) = (call.floats(0), call.floats(1));
    let n = call.n_rows(1) * call.pitch(1);
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for i in 0..n {
        scales[i] += x[i].abs();
        y[i] += x[i];
    }
    call.set_with_scales(1, y, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let shapes = [(1, 4), (3, 100), (2, 1024)];
    let case = |(n_tokens, n_channels): (usize, usize)| {
        let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
        Case::new(format!("{n_tokens}x{n_channels}"), sizes, move |g, inputs| {
            let rows = Rows::up_to(n_tokens + 1, Size::Tokens);
            let y = inputs.tensor(g, rows, n_channels, Dtype::F32);
            let x = inputs.tensor(g, rows, n_channels, Dtype::F32);
            add(g, y, x)
        })
    };
    shapes.into_iter().map(case).collect()
}
