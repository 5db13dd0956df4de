//! Activations as bytes. The maths is in `shaders/quantise_rows.wgsl`.

use super::roles::{self, ACTIVATIONS};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static QUANTISE_ROWS: Kernel = Kernel {
    name: "quantise_rows",
    wgsl: wgsl!("quantise_rows"),
    roles: &[&ACTIVATIONS],
    params: QuantiseRows::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct QuantiseRows { n_quads: u32, n_blocks: u32 }
}

/// Records x as blocks of bytes, rows padded with zeros to whole blocks, and returns it.
///
/// Shapes: `x: (n_tokens, n_columns)`, the result: (n_tokens, 32 * blocks of n_columns).
pub(super) fn quantise_rows(g: &mut Graph, x: Tensor) -> Result<Tensor> {
    g.expect_quads(x)?;
    let n_blocks = x.n_columns.div_ceil(32);
    let y = g.temp("bytes", x.rows, 32 * n_blocks, Dtype::Q8);
    let n_lanes: u32 = if g.caps().software() { 8 } else { 64 };
    g.launch(&QUANTISE_ROWS)
        .role(&ACTIVATIONS, roles::real_name(x.dtype))
        .config("WG_SIZE", n_lanes)
        .params(&QuantiseRows { n_quads: x.n_columns as u32 / 4, n_blocks: n_blocks as u32 })
        .bind(0, y, Access::Write)
        .read(x)
        .grid([Extent::Fixed((n_blocks as u32).div_ceil(n_lanes)), x.row_extent(1), Extent::Fixed(1)])
        .record()?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: QuantiseRows = call.params();
    let (n_columns, n_padded) = (4 * p.n_quads as usize, 32 * p.n_blocks as usize);
    let (mut y, x) = (call.floats(0), call.floats(1));
    for t in 0..call.n_rows(1) {
        let row = &mut y[t * n_padded..(t + 1) * n_padded];
        row.fill(0.0);
        row[..n_columns].copy_from_slice(&x[t * n_columns..(t + 1) * n_columns]);
    }
    call.set(0, y);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |n_tokens: usize, n_columns: usize, dtype: Dtype| {
        let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
        Case::new(format!("{n_tokens}x{n_columns} {dtype:?}"), sizes, move |g, inputs| {
            let x = inputs.tensor(g, Rows::up_to(n_tokens + 1, Size::Tokens), n_columns, dtype);
            quantise_rows(g, x).map(|_| ())
        })
    };
    vec![case(1, 64, Dtype::F16), case(3, 2336, Dtype::F32), case(2, 36, Dtype::F16)]
}
