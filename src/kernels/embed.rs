//! Embedding lookup with dequantisation. The maths is in `shaders/embed.wgsl`.

use super::kv::{Batch, FROM_SLOT};
use super::roles::WEIGHT;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Rows, Tensor, params, wgsl};
use crate::tensor::FORMATS;

pub static EMBED: Kernel =
    Kernel { name: "embed", wgsl: wgsl!("embed"), roles: &[&WEIGHT], params: Embed::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct Embed { n_quads: u32, n_blocks: u32, first_row: u32, n_rows: u32, last_row: u32, scale: f32 }
}

/// Records `y[t, :] = scale * weight[id(t), :]`, f32.
///
/// Shapes: `weight: (n_vocab, n_columns)`, `y: (n_tokens, n_columns)`. Ids past the end give the last row.
pub fn embed(g: &mut Graph, batch: &Batch, weight: &PackedWeight, scale: f32) -> Result<Tensor> {
    let y = g.temp("embedding", batch.rows, weight.n_columns, Dtype::F32);
    g.expect_quads(y)?;
    let last_row = weight.n_rows as u32 - 1;
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let launch = g
            .launch(&EMBED)
            .weight(&weight.name, weight.format, chunk)
            .config("FROM_SLOT", FROM_SLOT)
            .params(&Embed {
                n_quads: weight.n_columns as u32 / 4,
                n_blocks: chunk.n_blocks as u32,
                first_row: chunk.first_row as u32,
                n_rows: chunk.n_rows as u32,
                last_row,
                scale,
            })
            .read(batch.ids)
            .read(batch.slots)
            .read(batch.last_token);
        let launch = if i == 0 { launch.write(y) } else { launch.update(y) };
        launch.grid([y.row_extent(1), Extent::Fixed(1), Extent::Fixed(1)]).record()?;
    }
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Embed = call.params();
    let n_columns = 4 * p.n_quads as usize;
    let mut y = call.floats(3);
    for t in 0..call.n_rows(3) {
        let mut id = call.words(0)[t];
        if id == FROM_SLOT {
            id = call.words(2)[call.words(1)[t] as usize];
        }
        let row = id.min(p.last_row).wrapping_sub(p.first_row);
        if row < p.n_rows {
            let weights = call.weight_row(row as usize);
            for (y, w) in y[t * n_columns..(t + 1) * n_columns].iter_mut().zip(weights) {
                *y = f64::from(p.scale) * f64::from(w);
            }
        }
    }
    call.set(3, y);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let images = caps.images;
    let mut cases = Vec::new();
    for format in &FORMATS {
        for rows_max in [16, 1 << 20] {
            let name = format!("{} by {rows_max}", format.name);
            let sizes = Sizes { n_tokens: 5, ..Default::default() };
            cases.push(Case::new(name, sizes, move |g, inputs| {
                let mut weight = inputs.weight(format, 40, 256, rows_max)?;
                if images && rows_max > 16 {
                    weight = weight.in_images();
                }
                let batch = Batch {
                    rows: Rows::up_to(6, Size::Tokens),
                    ids: inputs.words(g, vec![0, 39, FROM_SLOT, 17, 1000, 1]),
                    positions: inputs.words(g, vec![0; 6]),
                    slots: inputs.words(g, vec![0, 0, 1, 0, 0, 0]),
                    pages: inputs.words(g, vec![0; 4]),
                    last_token: inputs.words(g, vec![3, 21]),
                    limits: inputs.words(g, vec![0; 6]),
                    outputs: inputs.words(g, vec![0]),
                    max_pages: 1,
                };
                embed(g, &batch, &weight, 1.5).map(|_| ())
            }));
        }
    }
    cases
}
