//! Attention of prompts on GPUs. The maths is in `shaders/attention_tile.wgsl`.

use super::attention::{self, Attention, AttentionParams, PROMPT, STEP, attention_case};
use super::kv::{Batch, Kv};
use super::roles::{KV_READ, MASK, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent};
use crate::graph::{Access, Case, Dtype, Graph, Kernel, Tensor, wgsl};

pub static ATTENTION_TILE: Kernel = Kernel {
    name: "attention_tile",
    wgsl: wgsl!("attention_tile"),
    roles: &[&KV_READ, &MASK, &REAL],
    params: AttentionParams::LAYOUT,
    twin: attention::twin,
    cases,
};

/// Tokens of a step up to which queries are too few to fill tiles.
const TOKENS_MIN: usize = 8;

/// Query heads of a workgroup at most; more of them would leave it fewer tokens, which see less between
/// them.
const HEADS_MAX: usize = 8;

/// The rows of lanes for the attention of a step of up to `n_tokens` tokens, 4 queries each; `None` where
/// a tile would not be full, and on software devices, on which barriers cost most.
pub(super) fn choose(caps: &Caps, n_tokens: usize) -> Option<u32> {
    let fits = caps.workgroup_bytes_max >= 16 << 10;
    (!caps.software() && n_tokens > TOKENS_MIN && fits).then_some(8)
}

pub(super) fn record(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    dtype: Dtype,
    row_lanes: u32,
) -> Result<Tensor> {
    g.expect(q, q.n_rows(), p.n_heads * p.head_dim)?;
    let group = p.n_heads / p.n_kv_heads;
    let heads = (1..=HEADS_MAX).rev().find(|heads| group.is_multiple_of(*heads)).unwrap_or(1) as u32;
    let tokens = 4 * row_lanes / heads;
    let (biases, reach) = attention::biases(g, p)?;
    let y = g.temp("attention", q.rows, p.n_heads * p.head_dim, dtype);
    attention::configure(g.launch(&ATTENTION_TILE), p, kv, dtype)
        .config("CHUNKS", p.head_dim.div_ceil(32) as u32)
        .config("HEADS", heads)
        .config("KV_LOADS", 32 / row_lanes)
        .config("ROW_LANES", row_lanes)
        .config("TOKENS", tokens)
        .config("WG_SIZE", 8 * row_lanes)
        .params(&attention::params_of(q, batch, p, reach))
        .patch_rows("n_tokens", q)
        .read(q)
        .read(batch.positions)
        .read(batch.slots)
        .read(batch.pages)
        .read(biases)
        .read(batch.limits)
        .write(y)
        .bind(2, kv.k, Access::Read)
        .bind(2, kv.v, Access::Read)
        .grid([q.row_extent(tokens), Extent::Fixed(p.n_heads as u32 / heads), Extent::Fixed(1)])
        .terms(p.max_context.min(4096) + p.head_dim)
        .record()?;
    Ok(y)
}

fn cases(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |shape, kind, tokens, row_lanes| {
        let variant = format!("{row_lanes} rows");
        cases.push(attention_case(variant, shape, kind, tokens, move |g, q, batch, kv, p, real| {
            record(g, q, batch, kv, p, real, row_lanes)
        }));
    };
    let (f16, f32) = (Dtype::F16, Dtype::F32);
    // Sequences that share a tile, and masks of every kind; see `attention_case`.
    add([9, 3, 64], (None, None, f16, f16), STEP, 4);
    add([3, 3, 96], (Some(13), Some(20.0), f32, f32), STEP, 4);
    add([8, 2, 128], (None, None, f16, f16), STEP, 4);
    add([2, 2, 80], (None, None, f16, f32), STEP, 4);
    add([6, 6, 16], (None, None, f32, f32), STEP, 4);
    add([7, 1, 24], (Some(40), None, f32, f32), STEP, 8);
    add([4, 1, 256], (Some(40), None, Dtype::Q8, f16), STEP, 8);
    // A prompt over several tiles.
    add([9, 3, 64], (None, None, f16, f16), PROMPT, 8);
    add([8, 2, 16], (Some(13), None, f32, f32), PROMPT, 8);
    cases
}
