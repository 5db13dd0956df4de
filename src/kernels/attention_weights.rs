//! The weights of attention, written out. The maths is in `shaders/attention_weights.wgsl`.

use super::attention::{self, Attention, AttentionParams, Bias, EXAMPLE_SIZES, Operands};
use super::kv::{Batch, Kv};
use super::roles::{self, KV_READ, LANES, MASK};
use crate::error::Result;
use crate::gpu::{Caps, Extent};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Tensor, params, wgsl};

pub static ATTENTION_WEIGHTS: Kernel = Kernel {
    name: "attention_weights",
    wgsl: wgsl!("attention_weights"),
    roles: &[&KV_READ, &LANES, &MASK],
    params: AttentionWeights::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct AttentionWeights {
        n_tokens: u32,
        n_heads: u32,
        n_kv_heads: u32,
        max_pages: u32,
        window: u32,
        soft_cap: f32,
        after: u32,
        reach: u32,
        stride: u32,
        summary: u32,
        n_positions: u32,
    }
}

/// Records what [`attention`](super::attention()) weighs the first `n_positions` with and returns it, f32.
///
/// Shapes: `q` (scaled already): (n_tokens, n_heads * head_dim), the result: (n_tokens, n_heads *
/// n_positions), n_positions rounded up to a multiple of 4; rows of n_positions add up to 1.
pub fn attention_weights(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    n_positions: usize,
) -> Result<Tensor> {
    let variant = roles::lanes(g.caps());
    record(g, q, batch, kv, p, n_positions, variant)
}

fn record(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    n_positions: usize,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Tensor> {
    g.expect(q, q.n_rows(), p.n_heads * p.head_dim)?;
    let n_positions = n_positions.next_multiple_of(4);
    let (biases, shared) = attention::shared(g, q, batch, p)?;
    let w = g.temp("attention weights", q.rows, p.n_heads * n_positions, Dtype::F32);
    g.launch(&ATTENTION_WEIGHTS)
        .role(&KV_READ, kv.role())
        .role(&LANES, lanes)
        .role(&MASK, p.pattern.name())
        .config("ALIBI", matches!(p.bias, Bias::Alibi))
        .config("GROUP", (p.n_heads / p.n_kv_heads) as u32)
        .config("HEAD_DIM", p.head_dim as u32)
        .config("RELATIVE", matches!(p.bias, Bias::Relative { .. }))
        .config("SOFT_CAP", p.soft_cap.is_some())
        .config("WG_SIZE", wg_size)
        .params(&AttentionWeights {
            n_tokens: shared.n_tokens,
            n_heads: shared.n_heads,
            n_kv_heads: shared.n_kv_heads,
            max_pages: shared.max_pages,
            window: shared.window,
            soft_cap: shared.soft_cap,
            after: shared.after,
            reach: shared.reach,
            stride: shared.stride,
            summary: shared.summary,
            n_positions: n_positions as u32,
        })
        .patch_rows("n_tokens", q)
        .read(q)
        .read(batch.positions)
        .read(batch.slots)
        .read(batch.pages)
        .read(biases)
        .read(batch.limits)
        .write(w)
        .bind(2, kv.k, Access::Read)
        .bind(2, kv.v, Access::Read)
        .grid([q.row_extent(1), Extent::Fixed(p.n_heads as u32), Extent::Fixed(1)])
        .terms(n_positions + p.head_dim)
        .record()?;
    Ok(w)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: AttentionWeights = call.params();
    let shared = AttentionParams {
        n_tokens: p.n_tokens,
        n_heads: p.n_heads,
        n_kv_heads: p.n_kv_heads,
        max_pages: p.max_pages,
        window: p.window,
        soft_cap: p.soft_cap,
        after: p.after,
        reach: p.reach,
        stride: p.stride,
        summary: p.summary,
    };
    let operands = Operands { q: call.floats(0), k: call.floats(7), biases: call.floats(4) };
    let mut w = call.floats(6);
    let mut scales: Vec<f64> = w.iter().map(|w| w.abs()).collect();
    let (n_heads, n_positions) = (p.n_heads as usize, p.n_positions as usize);
    for t in 0..p.n_tokens as usize {
        for head in 0..n_heads {
            let base = (t * n_heads + head) * n_positions;
            w[base..base + n_positions].fill(0.0);
            scales[base..base + n_positions].fill(0.0);
            let Some(found) = attention::scores(call, &shared, &operands, t, head)? else { continue };
            for (&at, weight) in found.seen.iter().zip(&found.weights) {
                w[base + at] = *weight;
                // An error of a score is an error of its weight; scores err by eps * size. What is below
                // exp(-46) of the largest is taken for nothing.
                scales[base + at] = weight * found.size + 1e-14;
            }
        }
    }
    call.set_with_scales(6, w, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add =
        |shape: [usize; 3], window: Option<u32>, soft_cap, dtype: Dtype, variant: (&'static str, u32)| {
            let [n_heads, n_kv_heads, head_dim] = shape;
            let name =
                format!("{n_heads}/{n_kv_heads}x{head_dim} {window:?} {soft_cap:?} {dtype:?} {}", variant.0);
            cases.push(Case::new(name, EXAMPLE_SIZES, move |g, inputs| {
                let (q, batch, kv, p) = attention::example(g, inputs, shape, window, soft_cap, dtype);
                record(g, q, &batch, &kv, &p, 19 * 32, variant).map(|_| ())
            }));
        };
    for variant in roles::lanes_variants(caps) {
        for shape in [[9, 3, 64], [6, 6, 16], [2, 2, 80], [8, 2, 32], [3, 3, 96]] {
            add(shape, None, None, Dtype::F16, variant);
            add(shape, Some(13), Some(20.0), Dtype::F32, variant);
        }
        add([4, 1, 256], Some(40), None, Dtype::Q8, variant);
    }
    cases
}
