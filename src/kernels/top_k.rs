//! The largest numbers of each row. The maths is in `shaders/top_k.wgsl`.

use super::roles::{self, CLUSTER};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static TOP_K: Kernel =
    Kernel { name: "top_k", wgsl: wgsl!("top_k"), roles: &[&CLUSTER], params: TopK::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct TopK { n_columns: u32, x_pitch: u32, pitch: u32, n_parts: u32 }
}

/// Columns of a part.
const PART: usize = 256;
/// The most that can be asked for: each round must leave fewer numbers than it takes.
pub const TOP_K_MAX: usize = 128;
/// What stands for a number that is lacking, as in the shader.
pub const LOWEST: f32 = -3.4e38;

/// The largest numbers of each row in falling order, and their columns. Shapes: (n_rows, k).
#[derive(Debug, Clone, Copy)]
pub struct Top {
    pub values: Tensor,
    pub columns: Tensor,
}

/// Records the choice of the `k` largest of the first `n_columns` numbers in each row of `x`, f32; of
/// equal numbers the first. Where there are fewer, the rest is [`LOWEST`] at column 0.
///
/// Shape: `x: (n_rows, >= n_columns)`. `k` is 1 to [`TOP_K_MAX`].
pub fn top_k(g: &mut Graph, x: Tensor, n_columns: usize, k: usize) -> Result<Top> {
    let clusters = if g.caps().software() || !g.caps().clusters() { 1 } else { 4 };
    let cluster = roles::cluster(g.caps());
    let mut top = record(g, x, None, n_columns, k, cluster, clusters)?;
    while top.values.n_columns > k {
        top = record(g, top.values, Some(top.columns), top.values.n_columns, k, cluster, clusters)?;
    }
    Ok(top)
}

fn record(
    g: &mut Graph,
    x: Tensor,
    names: Option<Tensor>,
    n_columns: usize,
    k: usize,
    cluster: &'static str,
    clusters: u32,
) -> Result<Top> {
    let n_parts = n_columns.div_ceil(PART);
    let values = g.temp("top values", x.rows, n_parts * k, Dtype::F32);
    let columns = g.temp("top columns", x.rows, n_parts * k, Dtype::U32);
    let none = g.none();
    g.launch(&TOP_K)
        .role(&CLUSTER, cluster)
        .config("CLUSTERS", clusters)
        .config("HAS_NAMES", names.is_some())
        .config("K", k as u32)
        .config("WG_SIZE", 8 * clusters)
        .params(&TopK {
            n_columns: n_columns as u32,
            x_pitch: x.pitch() as u32,
            pitch: values.pitch() as u32,
            n_parts: n_parts as u32,
        })
        .read(x)
        .read(names.unwrap_or(none))
        .write(values)
        .write(columns)
        .grid([Extent::Fixed((n_parts as u32).div_ceil(clusters)), x.row_extent(1), Extent::Fixed(1)])
        .record()?;
    Ok(Top { values, columns })
}

fn twin(call: &mut Call) -> Result<()> {
    let p: TopK = call.params();
    let (k, has_names) = (call.config_usize("K")?, call.config("HAS_NAMES")? != 0.0);
    let (x, mut values) = (call.floats(0), call.floats(2));
    let (names, mut columns) = (call.words(1).to_vec(), call.words(3).to_vec());
    let (x_pitch, pitch, n_columns) = (p.x_pitch as usize, p.pitch as usize, p.n_columns as usize);
    for row in 0..call.n_rows(0) {
        for part in 0..p.n_parts as usize {
            let first = part * PART;
            let mut order: Vec<usize> = (first..(first + PART).min(n_columns)).collect();
            // A stable sort leaves the lowest column first among equals.
            order.sort_by(|a, b| x[row * x_pitch + b].total_cmp(&x[row * x_pitch + a]));
            for r in 0..k {
                let at = row * pitch + part * k + r;
                let column = order.get(r).copied().filter(|c| x[row * x_pitch + c] > f64::from(LOWEST));
                values[at] = column.map_or(f64::from(LOWEST), |c| x[row * x_pitch + c]);
                columns[at] = match column {
                    Some(column) if has_names => names[row * x_pitch + column],
                    Some(column) => column as u32,
                    None => 0,
                };
            }
        }
    }
    call.set(2, values);
    call.set_words(3, columns);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for cluster in roles::cluster_variants(caps) {
        for (n_columns, k, clusters) in [(256, 8, 1), (1000, 5, 4), (4000, 13, 1), (70, 1, 1), (3, 4, 1)] {
            let name = format!("{k} of 3x{n_columns} {cluster}");
            let sizes = Sizes { n_tokens: 3, ..Default::default() };
            cases.push(Case::new(name, sizes, move |g, inputs| {
                let x = inputs.tensor(g, Rows::up_to(4, Size::Tokens), n_columns + 9, Dtype::F32);
                let clusters = if cluster == "shared" { 1 } else { clusters };
                let top = record(g, x, None, n_columns, k, cluster, clusters)?;
                let n = top.values.n_columns;
                record(g, top.values, Some(top.columns), n, k, cluster, clusters).map(|_| ())
            }));
        }
    }
    // Equal numbers.
    let sizes = Sizes { n_tokens: 1, ..Default::default() };
    cases.push(Case::new("equal numbers", sizes, |g, inputs| {
        let values: Vec<f32> = (0..300).map(|i| (i % 7) as f32).collect();
        let x = inputs.floats(g, 1, 300, &values);
        top_k(g, x, 300, 10).map(|_| ())
    }));
    cases
}
