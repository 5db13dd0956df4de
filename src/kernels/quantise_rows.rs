//! Activations as bytes. The maths is in `shaders/quantise_rows.wgsl`.

use super::roles::{self, INPUT};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static QUANTISE_ROWS: Kernel = Kernel {
    name: "quantise_rows",
    wgsl: wgsl!("quantise_rows"),
    roles: &[&INPUT],
    params: QuantiseRows::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct QuantiseRows { n_quads: u32, n_blocks: u32 }
}

/// Records x as blocks of bytes, rows padded with zeros to whole blocks, and returns it: in an image where
/// the device reads those faster.
///
/// Shapes: `x: (n_tokens, n_columns)`, the result: (n_tokens, 32 * blocks of n_columns).
pub(super) fn quantise_rows(g: &mut Graph, x: Tensor) -> Result<Tensor> {
    g.expect_quads(x)?;
    let n_blocks = x.n_columns.div_ceil(32);
    let y = match g.caps().byte_blocks() {
        true => g.activations("bytes", x.rows, 32 * n_blocks, Dtype::Q8Sums),
        false => g.temp("bytes", x.rows, 32 * n_blocks, Dtype::Q8Sums),
    };
    let n_lanes: u32 = if g.caps().software() { 8 } else { 64 };
    g.launch(&QUANTISE_ROWS)
        .role(&INPUT, roles::input(x))
        .config("WG_SIZE", n_lanes)
        .config("X_IS_BLOCKS", x.n_columns.is_multiple_of(32))
        .params(&QuantiseRows { n_quads: x.n_columns as u32 / 4, n_blocks: n_blocks as u32 })
        .bind(0, y, Access::Write)
        .read(x)
        .rounds(x.n_rows(), x.n_rows() * n_blocks.div_ceil(8))
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

fn cases(caps: &Caps) -> Vec<Case> {
    let case = |n_tokens: usize, n_columns: usize, dtype: Dtype, images: bool| {
        let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
        Case::new(format!("{n_tokens}x{n_columns} {dtype:?} {images}"), sizes, move |g, inputs| {
            let rows = Rows::up_to(n_tokens + 1, Size::Tokens);
            let x = match images {
                true => inputs.image(g, rows, n_columns, dtype),
                false => inputs.tensor(g, rows, n_columns, dtype),
            };
            quantise_rows(g, x).map(|_| ())
        })
    };
    let mut cases = vec![
        case(1, 64, Dtype::F16, false),
        case(3, 2336, Dtype::F32, false),
        case(2, 36, Dtype::F16, false),
    ];
    if caps.images {
        cases.extend([case(3, 352, Dtype::F16, true), case(1, 40, Dtype::F16, true)]);
    }
    cases
}
