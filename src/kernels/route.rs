//! Chooses experts. The maths is in `shaders/route.wgsl`.

use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ROUTE: Kernel =
    Kernel { name: "route", wgsl: wgsl!("route"), roles: &[], params: Route::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct Route { n_tokens: u32, n_experts: u32, n_used: u32, scores_pitch: u32, pitch: u32 }
}

/// Which experts each token uses, and how much of each. Shapes: (n_tokens, n_used).
#[derive(Debug, Clone, Copy)]
pub struct Routes {
    pub experts: Tensor,
    pub shares: Tensor,
    pub n_used: usize,
}

/// Lanes of a workgroup, one token each.
const WG_SIZE: u32 = 32;

/// Records the choice of the best `n_used` experts by the router's `scores: (n_tokens, n_experts)`, f32.
pub fn route(g: &mut Graph, scores: Tensor, n_used: usize, normalise: bool) -> Result<Routes> {
    if n_used == 0 || n_used > scores.n_columns {
        return Err(Error::Unsupported(format!("{n_used} experts of {} per token", scores.n_columns)));
    }
    let experts = g.temp("experts", scores.rows, n_used, Dtype::U32);
    let shares = g.temp("shares", scores.rows, n_used, Dtype::F32);
    g.launch(&ROUTE)
        .config("NORMALISE", normalise)
        .config("WG_SIZE", WG_SIZE)
        .params(&Route {
            n_tokens: scores.n_rows() as u32,
            n_experts: scores.n_columns as u32,
            n_used: n_used as u32,
            scores_pitch: scores.pitch() as u32,
            pitch: experts.pitch() as u32,
        })
        .patch_rows("n_tokens", scores)
        .read(scores)
        .write(experts)
        .write(shares)
        .grid([scores.row_extent(WG_SIZE), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(scores.n_columns)
        .record()?;
    Ok(Routes { experts, shares, n_used })
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Route = call.params();
    let normalise = call.config("NORMALISE")? != 0.0;
    let (scores, mut experts, mut shares) = (call.floats(0), call.words(1).to_vec(), call.floats(2));
    let mut scales: Vec<f64> = shares.iter().map(|v| v.abs()).collect();
    for t in 0..p.n_tokens as usize {
        let row = &scores[t * p.scores_pitch as usize..][..p.n_experts as usize];
        let (largest, total) = super::softmax::largest_and_sum(row);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let chosen = &order[..p.n_used as usize];
        let share = |e: usize| (row[e] - largest).exp() / total;
        let sum: f64 = chosen.iter().map(|&e| share(e)).sum();
        for (j, &e) in chosen.iter().enumerate() {
            let at = t * p.pitch as usize + j;
            experts[at] = e as u32;
            shares[at] = share(e) / if normalise { sum } else { 1.0 };
            scales[at] = shares[at] * (1.0 + (row[e] - largest).abs());
        }
    }
    call.set_words(1, experts);
    call.set_with_scales(2, shares, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |(n_experts, n_used, normalise): (usize, usize, bool)| {
        let sizes = Sizes { n_tokens: 5, ..Default::default() };
        Case::new(format!("5x{n_experts} best {n_used} {normalise}"), sizes, move |g, inputs| {
            let scores = inputs.tensor(g, Rows::up_to(6, Size::Tokens), n_experts, Dtype::F32);
            route(g, scores, n_used, normalise).map(|_| ())
        })
    };
    [(4, 2, true), (8, 1, false), (33, 6, true)].into_iter().map(case).collect()
}
