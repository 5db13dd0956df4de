//! The best columns of a row. The maths is in `shaders/top_columns.wgsl`.

use super::roles::{self, LANES};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Tensor, params, wgsl};

pub static TOP_COLUMNS: Kernel = Kernel {
    name: "top_columns",
    wgsl: wgsl!("top_columns"),
    roles: &[&LANES],
    params: TopColumns::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct TopColumns { n_columns: u32 }
}

/// The best columns, the best first. Shapes: (1, k), k rounded up to a multiple of 4; the value is -3.4e38
/// where there are fewer.
#[derive(Debug, Clone, Copy)]
pub struct Top {
    pub value: Tensor,
    /// U32.
    pub column: Tensor,
}

/// Below all numbers that count.
const LOWEST: f32 = -3.4e38;

/// Records the `k` largest of `x[c] * scale[c]` and their columns, the lower first of equal ones.
///
/// Shapes: `x, scale: (1, n_columns)`, f32.
pub fn top_columns(g: &mut Graph, x: Tensor, scale: Tensor, k: usize) -> Result<Top> {
    let variant = roles::lanes(g.caps());
    let per_part = if g.caps().software() { 16384 } else { 4096 };
    let k = k.max(1).next_multiple_of(4);
    let none = g.none();
    let parts = record(g, x, x.n_columns, Some(scale), none, k, per_part, variant)?;
    if parts.value.n_rows() == 1 {
        return Ok(parts);
    }
    let n = parts.value.n_rows() * k;
    record(g, parts.value, n, None, parts.column, k, n, variant)
}

/// `n_columns`: how many numbers of `x` count, its rows taken as one.
#[expect(clippy::too_many_arguments, reason = "the three last are the variants that tests walk")]
fn record(
    g: &mut Graph,
    x: Tensor,
    n_columns: usize,
    scale: Option<Tensor>,
    names: Tensor,
    k: usize,
    per_part: usize,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Top> {
    let n_parts = n_columns.div_ceil(per_part);
    let value = g.temp("best values", n_parts, k, Dtype::F32);
    let column = g.temp("best columns", n_parts, k, Dtype::U32);
    let none = g.none();
    g.launch(&TOP_COLUMNS)
        .role(&LANES, lanes)
        .config("FIRST", scale.is_some())
        .config("K", k as u32)
        .config("PER_PART", per_part as u32)
        .config("WG_SIZE", wg_size)
        .params(&TopColumns { n_columns: n_columns as u32 })
        .read(x)
        .read(scale.unwrap_or(none))
        .read(names)
        .write(value)
        .write(column)
        .grid([Extent::Fixed(n_parts as u32), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(Top { value, column })
}

fn twin(call: &mut Call) -> Result<()> {
    let p: TopColumns = call.params();
    let (first, k) = (call.config("FIRST")? != 0.0, call.config_usize("K")?);
    let per_part = call.config_usize("PER_PART")?;
    let (x, scale, names) = (call.floats(0), call.floats(1), call.words(2).to_vec());
    let (mut best, mut columns) = (call.floats(3), call.words(4).to_vec());
    let n = p.n_columns as usize;
    // One product of f32 rounds the same everywhere; in f64 near ties would fall otherwise.
    let score = |c: usize| if first { x[c] as f32 * scale[c] as f32 } else { x[c] as f32 };
    for part in 0..n.div_ceil(per_part) {
        let end = n.min((part + 1) * per_part);
        let mut order: Vec<usize> = (part * per_part..end).filter(|&c| score(c) > LOWEST).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        for i in 0..k {
            let at = part * k + i;
            let place = order.get(i).copied().unwrap_or(end);
            best[at] = order.get(i).map_or(f64::from(LOWEST), |&c| f64::from(score(c)));
            columns[at] = if first { place as u32 } else { names[place.min(n - 1)] };
        }
    }
    call.set(3, best);
    call.set_words(4, columns);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for (n_columns, per_part, k) in [(1000, 128, 8), (77, 32, 4), (3, 64, 4), (500, 512, 40)] {
            let name = format!("{k} of {n_columns} by {per_part} {}", variant.0);
            cases.push(Case::new(name, Sizes::default(), move |g, inputs| {
                let x = inputs.tensor(g, 1, n_columns, Dtype::F32);
                // Columns that come twice tell which of equal ones is taken.
                let scales: Vec<f32> = (0..n_columns).map(|i| if i % 7 == 0 { 0.0 } else { 1.5 }).collect();
                let scale = inputs.floats(g, 1, n_columns, &scales);
                let none = g.none();
                let parts = record(g, x, n_columns, Some(scale), none, k, per_part, variant)?;
                let n = parts.value.n_rows() * k;
                record(g, parts.value, n, None, parts.column, k, n, variant).map(|_| ())
            }));
        }
    }
    cases
}
