//! One over the length of each row of a weight. The maths is in `shaders/vector_lengths.wgsl`.

use super::roles::{self, WEIGHT};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Tensor, params, wgsl};
use crate::tensor::FORMATS;

pub static VECTOR_LENGTHS: Kernel = Kernel {
    name: "vector_lengths",
    wgsl: wgsl!("vector_lengths"),
    roles: &[&WEIGHT],
    params: VectorLengths::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct VectorLengths { n_rows: u32, first_row: u32, n_blocks: u32, n_quads: u32, n_rows_all: u32 }
}

/// Records `y[r] = 1 / |W[r, :]|`, 0 for a row of zeros, and returns `y: (1, n_rows)`, f32.
pub fn vector_lengths(g: &mut Graph, weight: &PackedWeight) -> Result<Tensor> {
    let y = g.temp("inverse lengths", 1, weight.n_rows, Dtype::F32);
    let (_, wg_size) = roles::lanes(g.caps());
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let launch = g
            .launch(&VECTOR_LENGTHS)
            .weight(&weight.name, weight.format, chunk)
            .config("WG_SIZE", wg_size)
            .params(&VectorLengths {
                n_rows: chunk.n_rows as u32,
                first_row: chunk.first_row as u32,
                n_blocks: chunk.n_blocks as u32,
                n_quads: weight.n_columns.div_ceil(4) as u32,
                n_rows_all: weight.n_rows as u32,
            })
            .terms(weight.n_columns);
        let launch = if i == 0 { launch.write(y) } else { launch.update(y) };
        let n_workgroups = (chunk.n_rows as u32).div_ceil(wg_size);
        launch.grid([Extent::Fixed(n_workgroups), Extent::Fixed(1), Extent::Fixed(1)]).record()?;
    }
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: VectorLengths = call.params();
    let mut y = call.floats(0);
    for row in 0..p.n_rows as usize {
        let at = p.first_row as usize + row;
        if at < p.n_rows_all as usize {
            let weights = call.weight_row(row);
            let columns = weights.iter().take(4 * p.n_quads as usize);
            let sum: f64 = columns.map(|&w| f64::from(w) * f64::from(w)).sum();
            y[at] = if sum > 0.0 { 1.0 / sum.sqrt() } else { 0.0 };
        }
    }
    call.set(0, y);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for format in &FORMATS {
        for (n_rows, rows_max) in [(40, 16), (23, 1 << 20)] {
            let name = format!("{} {n_rows} rows by {rows_max}", format.name);
            cases.push(Case::new(name, Sizes::default(), move |g, inputs| {
                let weight = inputs.weight(format, n_rows, 256, rows_max)?;
                vector_lengths(g, &weight).map(|_| ())
            }));
        }
    }
    cases
}
