//! The feed-forward networks of chosen experts. The maths is in `shaders/expert_up.wgsl` and
//! `shaders/expert_down.wgsl`.

use super::roles::{self, ACTIVATION, Activation, CLUSTER, DOTS, EPILOGUE, INPUT, REAL, WEIGHT};
use super::route::Routes;
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Inputs, Kernel, PackedWeight, Rows, Tensor, params, wgsl};
use crate::tensor::format;

pub static EXPERT_UP: Kernel = Kernel {
    name: "expert_up",
    wgsl: wgsl!("expert_up"),
    roles: &[&WEIGHT, &DOTS, &INPUT, &CLUSTER, &EPILOGUE, &ACTIVATION, &REAL],
    params: Expert::LAYOUT,
    twin: twin_up,
    cases: cases_up,
};

pub static EXPERT_DOWN: Kernel = Kernel {
    name: "expert_down",
    wgsl: wgsl!("expert_down"),
    roles: &[&WEIGHT, &DOTS, &INPUT, &CLUSTER, &EPILOGUE],
    params: Expert::LAYOUT,
    twin: twin_down,
    cases: cases_down,
};

params! {
    /// Mirrors `Params` in both shaders.
    pub struct Expert {
        n_quads: u32,
        n_blocks: u32,
        n_used: u32,
        experts_pitch: u32,
        n_groups: u32,
        first_group: u32,
        n_chunk_groups: u32,
        y_pitch: u32,
    }
}

/// Clusters of a workgroup on this device.
fn clusters(caps: &Caps, cluster: &str) -> u32 {
    if caps.software() || cluster == "shared" { 1 } else { 8 }
}

/// Rows of one of the experts that `weight` holds, given their number.
fn rows_of_one(weight: &PackedWeight, rows: usize, multiple: usize) -> Result<usize> {
    if rows == 0 || !weight.n_rows.is_multiple_of(rows) || !rows.is_multiple_of(multiple) {
        return Err(Error::tensor(
            &weight.name,
            format!("{} rows are no experts of {rows} rows, a multiple of {multiple}", weight.n_rows),
        ));
    }
    Ok(rows)
}

/// Records `y[t, j] = f(gate x[t]) * (up x[t])`, or `f(up x[t])`, for the experts of each token; returns
/// `y`, stored as `dtype`: (n_tokens, n_used * n_ff).
///
/// Shapes: `x: (n_tokens, n_columns)`; `weight: (n_experts * 2 * n_ff, n_columns)`, gate and up rows in
/// turn, where `gated`, else `(n_experts * n_ff, n_columns)`.
#[expect(clippy::too_many_arguments, reason = "what an expert is, in one call")]
pub fn expert_up(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    n_experts: usize,
    gated: bool,
    routes: &Routes,
    activation: Activation,
    dtype: Dtype,
) -> Result<Tensor> {
    g.expect_quads(x)?;
    let rows = rows_of_one(weight, weight.n_rows / n_experts.max(1), 8)?;
    let n_ff = if gated { rows / 2 } else { rows };
    let y = g.temp("experts' activations", x.rows, routes.n_used * n_ff, dtype);
    let cluster = roles::cluster(g.caps());
    let clusters = clusters(g.caps(), cluster);
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let params = Expert {
            n_quads: x.n_columns as u32 / 4,
            n_blocks: chunk.n_blocks as u32,
            n_used: routes.n_used as u32,
            experts_pitch: routes.experts.pitch() as u32,
            n_groups: rows as u32 / 4,
            first_group: chunk.first_row as u32 / 4,
            n_chunk_groups: chunk.n_rows as u32 / 4,
            y_pitch: if gated { n_ff as u32 / 2 } else { n_ff as u32 / 4 },
        };
        let launch = g
            .launch(&EXPERT_UP)
            .weight(&weight.name, weight.format, chunk)
            .role(&DOTS, "floats")
            .role(&INPUT, roles::input(x))
            .role(&CLUSTER, cluster)
            .role(&EPILOGUE, if gated { "gated" } else { "activate" })
            .role(&ACTIVATION, activation.name())
            .role(&REAL, roles::real_name(dtype))
            .config("CLUSTERS", clusters)
            .config("COLS", 1)
            .config("WG_SIZE", 8 * clusters)
            .config("X_IS_BLOCKS", x.n_columns.is_multiple_of(32))
            .params(&params)
            .read(routes.experts)
            .read(x);
        let launch = if i == 0 { launch.write(y) } else { launch.update(y) };
        let columns = (rows as u32 / 4).div_ceil(clusters);
        launch
            .grid([Extent::Fixed(columns), x.row_extent(1), Extent::Fixed(routes.n_used as u32)])
            .terms(x.n_columns)
            .record()?;
    }
    Ok(y)
}

/// Records `y[t] += sum_j share * (down x[t, j])` over the experts of each token, in place.
///
/// Shapes: `x: (n_tokens, n_used * n_ff)`, `weight: (n_experts * n_embd, n_ff)`, `y: (n_tokens, n_embd)`.
pub fn expert_down(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    routes: &Routes,
    y: Tensor,
) -> Result<()> {
    let rows = rows_of_one(weight, y.n_columns, 4)?;
    let n_ff = weight.n_columns;
    g.expect(x, y.n_rows(), routes.n_used * n_ff)?;
    let cluster = roles::cluster(g.caps());
    let clusters = clusters(g.caps(), cluster);
    for chunk in &weight.chunks {
        let params = Expert {
            n_quads: n_ff as u32 / 4,
            n_blocks: chunk.n_blocks as u32,
            n_used: routes.n_used as u32,
            experts_pitch: routes.experts.pitch() as u32,
            n_groups: rows as u32 / 4,
            first_group: chunk.first_row as u32 / 4,
            n_chunk_groups: chunk.n_rows as u32 / 4,
            y_pitch: y.pitch() as u32 / 4,
        };
        g.launch(&EXPERT_DOWN)
            .weight(&weight.name, weight.format, chunk)
            .role(&DOTS, "floats")
            .role(&INPUT, roles::input(x))
            .role(&CLUSTER, cluster)
            .role(&EPILOGUE, "residual")
            .config("CLUSTERS", clusters)
            .config("COLS", 1)
            .config("WG_SIZE", 8 * clusters)
            .config("X_IS_BLOCKS", n_ff.is_multiple_of(32))
            .params(&params)
            .read(routes.experts)
            .read(x)
            .update(y)
            .read(routes.shares)
            .grid([Extent::Fixed((rows as u32 / 4).div_ceil(clusters)), x.row_extent(1), Extent::Fixed(1)])
            .terms(n_ff * routes.n_used)
            .record()?;
    }
    Ok(())
}

/// The dot product of a row of the weight with x, and the size of its terms.
fn product(row: &[f32], x: &[f64]) -> (f64, f64) {
    let terms = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
    (terms.clone().sum(), terms.map(f64::abs).sum())
}

fn twin_up(call: &mut Call) -> Result<()> {
    let p: Expert = call.params();
    let activation = Activation::by_name(call.role("activation")).unwrap_or(Activation::Identity);
    let n_columns = 4 * p.n_quads as usize;
    let gated = call.role("epilogue") == "gated";
    let n_ff = if gated { 2 } else { 4 } * p.y_pitch as usize;
    let (x, mut y) = (call.floats(1), call.floats(2));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(1) {
        let x = &x[t * n_columns..(t + 1) * n_columns];
        for j in 0..p.n_used as usize {
            let expert = call.words(0)[t * p.experts_pitch as usize + j] as usize;
            for c in 0..n_ff {
                let first = expert * p.n_groups as usize * 4 + if gated { 2 * c } else { c };
                let row = first.wrapping_sub(4 * p.first_group as usize);
                if row >= 4 * p.n_chunk_groups as usize {
                    continue;
                }
                let (gate, gate_size) = product(&call.weight_row(row), x);
                let (up, up_size) = if gated { product(&call.weight_row(row + 1), x) } else { (1.0, 0.0) };
                let at = (t * p.n_used as usize + j) * n_ff + c;
                let f = activation.apply(gate);
                y[at] = f * up;
                scales[at] = 4.0 * (1.2 * gate_size * up.abs() + f.abs() * up_size);
            }
        }
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

fn twin_down(call: &mut Call) -> Result<()> {
    let p: Expert = call.params();
    let n_ff = 4 * p.n_quads as usize;
    let (x, mut y, shares) = (call.floats(1), call.floats(2), call.floats(3));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(1) {
        for j in 0..p.n_used as usize {
            let expert = call.words(0)[t * p.experts_pitch as usize + j] as usize;
            let share = shares[t * p.experts_pitch as usize + j];
            let x = &x[(t * p.n_used as usize + j) * n_ff..][..n_ff];
            for c in 0..4 * p.n_groups as usize {
                let row = (expert * p.n_groups as usize * 4 + c).wrapping_sub(4 * p.first_group as usize);
                if row < 4 * p.n_chunk_groups as usize {
                    let (value, size) = product(&call.weight_row(row), x);
                    let at = t * 4 * p.y_pitch as usize + c;
                    y[at] += share * value;
                    scales[at] += 4.0 * share.abs() * size;
                }
            }
        }
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

/// 3 tokens that use 2 of 4 experts each.
fn routes(g: &mut Graph, inputs: &mut Inputs) -> Routes {
    let mut experts = inputs.words(g, vec![3, 0, 9, 9, 1, 2, 9, 9, 2, 3, 9, 9, 0, 1, 9, 9]);
    let shares = inputs.tensor(g, Rows::up_to(4, Size::Tokens), 2, Dtype::F32);
    // Rows of two, padded to four.
    experts.n_columns = 2;
    Routes { experts, shares, n_used: 2 }
}

const FORMATS: [(&str, usize); 4] = [("F32", 64), ("F16", 36), ("Q8_0", 96), ("Q4_K", 256)];

fn cases_up(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, n_columns) in FORMATS {
        for (rows_max, gated) in [(16, true), (1 << 20, true), (16, false), (1 << 20, false)] {
            let sizes = Sizes { n_tokens: 3, ..Default::default() };
            let name_of = format!("{name} {n_columns} by {rows_max}{}", if gated { " gated" } else { "" });
            cases.push(Case::new(name_of, sizes, move |g, inputs| {
                let x = inputs.tensor(g, Rows::up_to(4, Size::Tokens), n_columns, Dtype::F32);
                let mut weight = inputs.weight(format::by_name(name)?, 4 * 2 * 20, n_columns, rows_max)?;
                if g.caps().images && name != "Q8_0" {
                    weight = weight.in_images();
                }
                let routes = routes(g, inputs);
                expert_up(g, x, &weight, 4, gated, &routes, Activation::Silu, Dtype::F32).map(|_| ())
            }));
        }
    }
    cases
}

fn cases_down(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, n_ff) in FORMATS {
        for rows_max in [16, 1 << 20] {
            let sizes = Sizes { n_tokens: 3, ..Default::default() };
            cases.push(Case::new(format!("{name} {n_ff} by {rows_max}"), sizes, move |g, inputs| {
                let rows = Rows::up_to(4, Size::Tokens);
                let x = inputs.tensor(g, rows, 2 * n_ff, Dtype::F16);
                let y = inputs.tensor(g, rows, 24, Dtype::F32);
                let mut weight = inputs.weight(format::by_name(name)?, 4 * 24, n_ff, rows_max)?;
                if g.caps().images && name != "Q8_0" {
                    weight = weight.in_images();
                }
                let routes = routes(g, inputs);
                expert_down(g, x, &weight, &routes, y)
            }));
        }
    }
    cases
}
