//! Limits how many tokens an expert serves. The maths is in `shaders/expert_capacity.wgsl`.

use super::route::Routes;
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static EXPERT_CAPACITY: Kernel = Kernel {
    name: "expert_capacity",
    wgsl: wgsl!("expert_capacity"),
    roles: &[],
    params: ExpertCapacity::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct ExpertCapacity { n_tokens: u32, pitch: u32, capacity: u32 }
}

/// Lanes of a workgroup, one token each.
const WG_SIZE: u32 = 32;

/// Records that each expert serves the first `capacity` tokens of each slot, by setting the shares of
/// those after them to 0. The sequences must lie in this pass whole.
///
/// Shapes: one expert per token in `routes`; `slots: (n_tokens)`.
pub fn expert_capacity(g: &mut Graph, routes: &Routes, slots: Tensor, capacity: usize) -> Result<()> {
    if routes.n_used != 1 {
        return Err(Error::Unsupported(format!(
            "a capacity of experts where each token uses {}; known for one",
            routes.n_used
        )));
    }
    g.launch(&EXPERT_CAPACITY)
        .config("WG_SIZE", WG_SIZE)
        .params(&ExpertCapacity {
            n_tokens: routes.shares.n_rows() as u32,
            pitch: routes.shares.pitch() as u32,
            capacity: capacity as u32,
        })
        .patch_rows("n_tokens", routes.shares)
        .read(routes.experts)
        .read(slots)
        .update(routes.shares)
        .grid([routes.shares.row_extent(WG_SIZE), Extent::Fixed(1), Extent::Fixed(1)])
        .terms(1)
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: ExpertCapacity = call.params();
    let (experts, slots, mut shares) = (call.words(0).to_vec(), call.words(1).to_vec(), call.floats(2));
    let pitch = p.pitch as usize;
    let mut served = std::collections::HashMap::new();
    for t in 0..p.n_tokens as usize {
        let n = served.entry((slots[t], experts[t * pitch])).or_insert(0);
        if *n >= p.capacity {
            shares[t * pitch] = 0.0;
        }
        *n += 1;
    }
    let scales = shares.iter().map(|v| v.abs()).collect();
    call.set_with_scales(2, shares, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |capacity: usize| {
        let sizes = Sizes { n_tokens: 40, ..Default::default() };
        Case::new(format!("40 tokens, {capacity} each"), sizes, move |g, inputs| {
            let rows = Rows::up_to(44, Size::Tokens);
            let mut experts = inputs.words(g, (0..176).map(|i| i / 4 * 7 % 3).collect());
            experts.n_columns = 1;
            experts.rows = rows;
            let slots = inputs.words(g, (0..44).map(|t| t / 15).collect());
            let shares = inputs.tensor(g, rows, 1, Dtype::F32);
            expert_capacity(g, &super::route::Routes { experts, shares, n_used: 1 }, slots, capacity)
        })
    };
    [1, 4, 64].into_iter().map(case).collect()
}
