//! The second part of split attention. The maths is in `shaders/attention_merge.wgsl`.

use super::attention_split::SPAN;
use super::kv::{Batch, NO_SLOT};
use super::roles::{self, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ATTENTION_MERGE: Kernel = Kernel {
    name: "attention_merge",
    wgsl: wgsl!("attention_merge"),
    roles: &[&REAL],
    params: MergeParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct MergeParams { n_tokens: u32, n_heads: u32, n_spans: u32, window: u32, after: u32 }
}

/// What is known of the spans.
pub(super) struct Merge {
    pub window: u32,
    pub after: u32,
    /// Of the longest sequence.
    pub n_spans: usize,
    pub n_heads: usize,
    pub head_dim: usize,
}

/// Records the merging of `partials` into `y`, for tokens that see more than one span; the launch is left
/// out in steps where no sequence has more than one.
///
/// Shapes: `partials: (n_tokens * n_heads * n_spans, head_dim + 4)`, `y: (n_tokens, n_heads * head_dim)`.
pub(super) fn attention_merge(
    g: &mut Graph,
    partials: Tensor,
    batch: &Batch,
    p: &Merge,
    y: Tensor,
) -> Result<()> {
    g.expect(y, y.n_rows(), p.n_heads * p.head_dim)?;
    g.expect(partials, y.n_rows() * p.n_heads * p.n_spans, p.head_dim + 4)?;
    let n_lanes: u32 = if g.caps().software() { 8 } else { 64 };
    let needed = match p.after {
        0 => Extent::Above(Size::Context, SPAN as u32),
        _ => Extent::Fixed(1),
    };
    let quads = (p.n_heads * p.head_dim / 4) as u32;
    let workgroups = Extent::Fixed(quads.div_ceil(n_lanes));
    let grid = match y.n_rows() {
        // Launches of two dimensions can be joined with others.
        1 => [workgroups, needed, Extent::Fixed(1)],
        _ => [workgroups, y.row_extent(1), needed],
    };
    g.launch(&ATTENTION_MERGE)
        .role(&REAL, roles::real_name(y.dtype))
        .config("HEAD_DIM", p.head_dim as u32)
        .config("WG_SIZE", n_lanes)
        .params(&MergeParams {
            n_tokens: y.n_rows() as u32,
            n_heads: p.n_heads as u32,
            n_spans: p.n_spans as u32,
            window: p.window,
            after: p.after,
        })
        .patch_rows("n_tokens", y)
        .read(partials)
        .read(batch.positions)
        .read(batch.slots)
        .read(batch.limits)
        .update(y)
        .grid(grid)
        .terms(p.n_spans)
        .rounds(y.n_rows(), y.n_rows() * quads.div_ceil(n_lanes) as usize * p.n_spans)
        .record()
}

fn twin(call: &mut Call) -> Result<()> {
    let p: MergeParams = call.params();
    let head_dim = call.config_usize("HEAD_DIM")?;
    let (partials, mut y) = (call.floats(0), call.floats(4));
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..p.n_tokens as usize {
        let position = call.words(1)[t] as usize;
        let first = (position + 1).saturating_sub(p.window as usize);
        let end = (call.words(3)[t] as usize).min(position + p.after as usize) + 1;
        if call.words(2)[t] == NO_SLOT || end <= first / SPAN * SPAN + SPAN {
            continue;
        }
        for head in 0..p.n_heads as usize {
            let row = t * p.n_heads as usize + head;
            let spans: Vec<&[f64]> = (first / SPAN..end.div_ceil(SPAN))
                .map(|span| &partials[(row * p.n_spans as usize + span) * (head_dim + 4)..][..head_dim + 4])
                .collect();
            let largest = spans.iter().fold(-1e30, |m: f64, span| m.max(span[0]));
            let weights: Vec<f64> = spans.iter().map(|span| (span[0] - largest).exp()).collect();
            let total: f64 = spans.iter().zip(&weights).map(|(span, w)| w * span[1]).sum();
            for c in 0..head_dim {
                let parts = spans.iter().zip(&weights).map(|(span, w)| w * span[4 + c] / total);
                let at = row * head_dim + c;
                y[at] = parts.clone().sum();
                // An error of exp(m - m') is relative to the size of m.
                scales[at] = parts.map(f64::abs).sum::<f64>() * largest.abs().max(1.0);
            }
        }
    }
    call.set_with_scales(4, y, scales);
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    let case = |dtype: Dtype, window: u32, head_dim: usize| {
        let (n_heads, n_spans) = (3, 4);
        let sizes = Sizes { n_tokens: 4, n_outputs: 0, n_context: 900 };
        Case::new(format!("3x{head_dim} {dtype:?} {window}"), sizes, move |g, inputs| {
            let rows = Rows::up_to(5, Size::Tokens);
            let mut values = inputs.normals(5 * n_heads * n_spans * (head_dim + 4));
            for (i, span) in values.chunks_mut(head_dim + 4).enumerate() {
                // Sums of weights are at least 1; a span may be empty.
                span[1] = 1.0 + span[1].abs();
                if i % 7 == 3 {
                    span.fill(0.0);
                    span[0] = -1e30;
                }
            }
            let partials = inputs.floats(g, 5 * n_heads * n_spans, head_dim + 4, &values);
            let positions = inputs.words(g, vec![899, 255, 256, 700, 12]);
            let batch = Batch {
                rows,
                ids: positions,
                positions,
                slots: inputs.words(g, vec![0, 1, 2, NO_SLOT, 0]),
                pages: positions,
                last_token: positions,
                outputs: positions,
                limits: positions,
                max_pages: 1,
            };
            let y = inputs.tensor(g, rows, n_heads * head_dim, dtype);
            let merge = Merge { window, after: 0, n_spans, n_heads, head_dim };
            attention_merge(g, partials, &batch, &merge, y)
        })
    };
    vec![case(Dtype::F32, u32::MAX, 64), case(Dtype::F16, 300, 80), case(Dtype::F16, 2, 256)]
}
