//! Adds up what several tiles did to one row. The maths is in `shaders/merge_rows.wgsl`.

use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Tensor, params, wgsl};

pub static MERGE_ROWS: Kernel = Kernel {
    name: "merge_rows",
    wgsl: wgsl!("merge_rows"),
    roles: &[],
    params: MergeRows::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct MergeRows { first: u32, pitch: u32, n_workgroups: u32 }
}

/// Workgroups of a launch, which take segments in turn.
const WORKGROUPS: u32 = 64;

/// Records `x[row] += sum over its slots of (x[slot] - x[row])` for each segment of `segments`, which
/// begin at word `first`: n, then n times (row, first slot, number of slots).
///
/// Shapes: `segments: (1, n)`, U32, `x: (n_rows, pitch)`. No row is in two segments.
/// Fails if the pitch is not a multiple of 4.
pub fn merge_rows(g: &mut Graph, segments: Tensor, first: usize, x: Tensor) -> Result<()> {
    g.expect_quads(x)?;
    // On a software driver a workgroup of 8 lanes is one vector.
    let (_, wg_size) = roles::lanes(g.caps());
    g.launch(&MERGE_ROWS)
        .config("WG_SIZE", wg_size.min(32))
        .params(&MergeRows { first: first as u32, pitch: x.pitch() as u32 / 4, n_workgroups: WORKGROUPS })
        .read(segments)
        .update(x)
        .grid([Extent::Fixed(WORKGROUPS), Extent::Fixed(1), Extent::Fixed(1)])
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: MergeRows = call.params();
    let pitch = 4 * p.pitch as usize;
    let mut x = call.floats(1);
    let mut scales: Vec<f64> = x.iter().map(|v| v.abs()).collect();
    let segments = call.words(0)[p.first as usize..].to_vec();
    for segment in segments[1..].chunks_exact(3).take(segments[0] as usize) {
        let [row, slot, n] = [segment[0], segment[1], segment[2]].map(|v| v as usize);
        for c in 0..pitch {
            let old = x[row * pitch + c];
            let slots = (slot..slot + n).map(|s| x[s * pitch + c]);
            scales[row * pitch + c] += slots.clone().map(|v| (v - old).abs()).sum::<f64>();
            x[row * pitch + c] += slots.map(|v| v - old).sum::<f64>();
        }
    }
    call.set_with_scales(1, x, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |pitch: usize| {
        Case::new(format!("3 rows of {pitch}"), Sizes::default(), move |g, inputs| {
            let words = vec![9, 9, 3, 0, 10, 2, 7, 12, 5, 3, 17, 1];
            let segments = inputs.words(g, words);
            let x = inputs.tensor(g, 20, pitch, Dtype::F32);
            merge_rows(g, segments, 2, x)
        })
    };
    [8, 104, 300].into_iter().map(case).collect()
}
