//! Dot products of questions with a whole table. The maths is in `shaders/cosines.wgsl`.

use super::roles::{self, CLUSTER};
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static COSINES: Kernel = Kernel {
    name: "cosines",
    wgsl: wgsl!("cosines"),
    roles: &[&CLUSTER],
    params: Cosines::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Cosines { n_tokens: u32, n_rows: u32, pitch: u32, y_pitch: u32, first_row: u32 }
}

/// How a table is cut into clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    /// A multiple of 8.
    questions: u32,
    rows: u32,
    clusters: u32,
    cluster: &'static str,
}

/// Records `y[t, :] = table x[t, :]` for a table in parts, one after another, and returns `y`.
///
/// Shapes: `x: (n_tokens, pitch)`, each part `(n_rows, pitch)`, `y: (n_tokens, all rows)`.
/// Fails if they disagree or if the pitch is not a multiple of 8.
pub fn cosines(g: &mut Graph, x: Tensor, table: &[Tensor]) -> Result<Tensor> {
    let cluster = roles::cluster(g.caps());
    let shape = match g.caps().software() {
        // As many questions as the first cache holds: 32 bytes per 8 elements.
        true => {
            let most = x.n_rows().next_multiple_of(8).min(64);
            let questions = (5120 / x.n_columns.max(1) / 8 * 8).clamp(8, most) as u32;
            Shape { questions, rows: 64, clusters: 1, cluster }
        }
        false => Shape { questions: 8, rows: 8, clusters: if cluster == "shuffle" { 4 } else { 1 }, cluster },
    };
    record(g, x, table, shape)
}

fn record(g: &mut Graph, x: Tensor, table: &[Tensor], shape: Shape) -> Result<Tensor> {
    let pitch = x.n_columns;
    if !pitch.is_multiple_of(8) {
        return Err(Error::Unsupported(format!("a table of {pitch} columns; expected a multiple of 8")));
    }
    let n_rows: usize = table.iter().map(Tensor::n_rows).sum();
    let y = g.temp("cosines", x.rows, n_rows, Dtype::F32);
    let (quads, tail) = (pitch as u32 / 32, pitch as u32 % 32 / 8);
    let mut first_row = 0;
    for (i, &part) in table.iter().enumerate() {
        g.expect(part, part.n_rows(), pitch)?;
        // A very long table makes each cluster take more rows, not the grid wider than it may be.
        let part_rows = part.n_rows() as u32;
        let rows = shape.rows.max(part_rows.div_ceil(g.caps().workgroups_max.max(1) * shape.clusters));
        let columns = part_rows.div_ceil(rows * shape.clusters);
        let launch = g
            .launch(&COSINES)
            .role(&CLUSTER, shape.cluster)
            .config("CHUNKS", shape.questions / 8)
            .config("CLUSTERS", shape.clusters)
            .config("QUADS", quads)
            // Arrays have at least one element.
            .config("QUADS_MAX", quads.max(1))
            .config("QUESTIONS", shape.questions)
            .config("QUESTION_QUADS", (shape.questions * quads).max(1))
            .config("QUESTION_TAILS", (shape.questions * tail).max(1))
            .config("ROWS", rows)
            .config("TAIL", tail)
            .config("TAILS", tail.max(1))
            .config("WG_SIZE", 8 * shape.clusters)
            .params(&Cosines {
                n_tokens: x.n_rows() as u32,
                n_rows: part_rows,
                pitch: pitch as u32 / 4,
                y_pitch: y.pitch() as u32,
                first_row,
            })
            .patch_rows("n_tokens", x)
            .read(x)
            .read(part);
        // A result in several parts keeps what the earlier launches wrote.
        let launch = if i == 0 { launch.write(y) } else { launch.update(y) };
        launch
            .grid([Extent::Fixed(columns), x.row_extent(shape.questions), Extent::Fixed(1)])
            .terms(pitch)
            .record()?;
        first_row += part_rows;
    }
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Cosines = call.params();
    let pitch = 4 * p.pitch as usize;
    let (x, table, mut y) = (call.floats(0), call.floats(1), call.floats(2));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for (t, x) in x.chunks_exact(pitch).take(p.n_tokens as usize).enumerate() {
        for (n, row) in table.chunks_exact(pitch).take(p.n_rows as usize).enumerate() {
            let at = t * p.y_pitch as usize + p.first_row as usize + n;
            y[at] = x.iter().zip(row).map(|(a, b)| a * b).sum();
            scales[at] = x.iter().zip(row).map(|(a, b)| (a * b).abs()).sum();
        }
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for cluster in roles::cluster_variants(caps) {
        for (n_tokens, n_rows, pitch, questions) in
            [(1, 37, 104, 8), (17, 40, 56, 16), (5, 9, 304, 16), (9, 21, 8, 8), (3, 70, 64, 24)]
        {
            let clusters = if cluster == "shared" || questions == 8 { 1 } else { 4 };
            let shape = Shape { questions, rows: 8, clusters, cluster };
            let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
            let name = format!("{n_tokens} of {n_rows}x{pitch} {questions} {clusters} {cluster}");
            cases.push(Case::new(name, sizes, move |g, inputs| {
                let x = inputs.tensor(g, Rows::up_to(n_tokens + 2, Size::Tokens), pitch, Dtype::F32);
                let parts = [n_rows - 5, 5].map(|n| inputs.tensor(g, n, pitch, Dtype::F32));
                record(g, x, &parts, shape).map(|_| ())
            }));
        }
    }
    cases
}
