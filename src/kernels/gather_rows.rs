//! Picks rows. The maths is in `shaders/gather_rows.wgsl`.

use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static GATHER_ROWS: Kernel = Kernel {
    name: "gather_rows",
    wgsl: wgsl!("gather_rows"),
    roles: &[],
    params: GatherRows::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct GatherRows { n_quads: u32 }
}

/// Records `y[i, :] = x[rows[i], :]` and returns `y`, of `n_outputs` rows.
///
/// Shapes: `x: (n_tokens, n_channels)`, f32, `rows: (1, n_outputs)`, U32, each below n_tokens.
pub fn gather_rows(g: &mut Graph, x: Tensor, rows: Tensor, n_outputs: impl Into<Rows>) -> Result<Tensor> {
    let y = g.temp("rows", n_outputs, x.n_columns, Dtype::F32);
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&GATHER_ROWS)
        .config("WG_SIZE", wg_size)
        .params(&GatherRows { n_quads: x.pitch() as u32 / 4 })
        .read(x)
        .read(rows)
        .write(y)
        .grid([y.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let (x, mut y) = (call.floats(0), call.floats(2));
    let pitch = call.pitch(2);
    for i in 0..call.n_rows(2) {
        let from = call.words(1)[i] as usize * pitch;
        y[i * pitch..(i + 1) * pitch].copy_from_slice(&x[from..from + pitch]);
    }
    call.set(2, y);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let sizes = Sizes { n_tokens: 5, n_outputs: 3, ..Default::default() };
    let case = |n_channels: usize| {
        Case::new(format!("3 of 5x{n_channels}"), sizes, move |g, inputs| {
            let x = inputs.tensor(g, Rows::up_to(6, Size::Tokens), n_channels, Dtype::F32);
            let rows = inputs.words(g, vec![4, 0, 4, 9]);
            gather_rows(g, x, rows, Rows::up_to(4, Size::Outputs)).map(|_| ())
        })
    };
    [4, 100, 1024].into_iter().map(case).collect()
}
