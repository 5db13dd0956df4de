//! Splits q, k and v, normalises, rotates and caches. The maths is in `shaders/rope_kv.wgsl`.

use super::kv::{Batch, Kv, NO_SLOT, PAGE};
use super::roles::{self, KV_WRITE, LANES, REAL};
use super::rope_scaling::{Pairs, Scaling, inv_freq, rope_table};
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ROPE_KV: Kernel = Kernel {
    name: "rope_kv",
    wgsl: wgsl!("rope_kv"),
    roles: &[&KV_WRITE, &LANES, &REAL],
    params: RopeKvParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct RopeKvParams { n_heads: u32, n_kv_heads: u32, max_pages: u32, eps: f32, q_scale: f32 }
}

/// cos and sin by position; see [`rope_table`].
#[derive(Debug, Clone, Copy)]
pub struct RopeTable {
    /// (256 + n_positions / 256, rope_dim)
    pub turns: Tensor,
    pub rope_dim: usize,
}

/// How queries and keys are made ready.
#[derive(Debug, Clone, Copy)]
pub struct RopeKv {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// The first dimensions of a head, which rotate.
    pub rope_dim: usize,
    pub pairs: Pairs,
    pub q_scale: f32,
    /// Gains of q and k, (1, head_dim) each, and eps: RMS norm over each head before the rotation.
    pub qk_norm: Option<(Tensor, Tensor, f32)>,
}

/// Records the split, norm, rotation and cache write. Returns q, f32: (n_tokens, n_heads * head_dim).
///
/// Shapes: `qkv: (n_tokens, (n_heads + 2 * n_kv_heads) * head_dim)`. No table means no rotation.
pub fn rope_kv(
    g: &mut Graph,
    qkv: Tensor,
    batch: &Batch,
    kv: &Kv,
    table: Option<&RopeTable>,
    p: &RopeKv,
) -> Result<Tensor> {
    let lanes = roles::lanes(g.caps()).0;
    record(g, qkv, batch, kv, table, p, if lanes == "cluster" { "cluster" } else { "shared" })
}

fn record(
    g: &mut Graph,
    qkv: Tensor,
    batch: &Batch,
    kv: &Kv,
    table: Option<&RopeTable>,
    p: &RopeKv,
    lanes: &'static str,
) -> Result<Tensor> {
    g.expect(qkv, qkv.n_rows(), (p.n_heads + 2 * p.n_kv_heads) * p.head_dim)?;
    if !p.head_dim.is_multiple_of(4) || !p.rope_dim.is_multiple_of(4) {
        return Err(Error::Unsupported(format!(
            "heads of {} dimensions, {} of them rotating; both must be multiples of 4",
            p.head_dim, p.rope_dim
        )));
    }
    if kv.dtype == Dtype::Q8 && !p.head_dim.is_multiple_of(32) {
        return Err(Error::Unsupported(format!(
            "a q8_0 cache holds heads of a multiple of 32 dimensions, this model's have {}; use --kv f16",
            p.head_dim
        )));
    }
    // Without query heads nothing is written there, but a binding cannot be empty.
    let q = g.temp("q", qkv.rows, p.n_heads.max(1) * p.head_dim, Dtype::F32);
    let none = g.none();
    let (q_gain, k_gain, eps) = p.qk_norm.unwrap_or((none, none, 1.0));
    let n_heads = p.n_heads + 2 * p.n_kv_heads;
    let mut launch = g
        .launch(&ROPE_KV)
        .role(&KV_WRITE, kv.role())
        .role(&REAL, roles::real_name(Dtype::F16))
        .role(&LANES, lanes)
        .config("HEAD_DIM", p.head_dim as u32)
        .config("ROPE_DIM", if table.is_some() { p.rope_dim as u32 } else { 0 })
        .config("NEIGHBOURS", p.pairs == Pairs::Neighbours)
        .config("QK_NORM", p.qk_norm.is_some())
        .config("WG_SIZE", 8)
        .params(&RopeKvParams {
            n_heads: p.n_heads as u32,
            n_kv_heads: p.n_kv_heads as u32,
            max_pages: batch.max_pages as u32,
            eps,
            q_scale: p.q_scale,
        })
        .read(qkv)
        .read(batch.positions)
        .read(batch.slots)
        .read(batch.pages)
        .read(table.map_or(none, |table| table.turns))
        .read(q_gain)
        .read(k_gain)
        .write(q)
        .bind(2, kv.k, Access::Update)
        .bind(2, kv.v, Access::Update)
        .grid([qkv.row_extent(1), Extent::Fixed(n_heads as u32), Extent::Fixed(1)])
        .terms(p.head_dim);
    if lanes == "cluster" {
        let rounds = p.head_dim / 8 + 2 * p.head_dim.div_ceil(32) + 8;
        launch = launch.rounds(qkv.n_rows(), qkv.n_rows() * n_heads * rounds);
    }
    launch.record()?;
    Ok(q)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: RopeKvParams = call.params();
    let head_dim = call.config_usize("HEAD_DIM")?;
    let rope_dim = call.config_usize("ROPE_DIM")?;
    let neighbours = call.config("NEIGHBOURS")? != 0.0;
    let qk_norm = call.config("QK_NORM")? != 0.0;
    let (n_heads, n_kv_heads) = (p.n_heads as usize, p.n_kv_heads as usize);
    let qkv = call.floats(0);
    let (turns, gains) = (call.floats(4), [call.floats(5), call.floats(6)]);
    let mut out = [call.floats(7), call.floats(8), call.floats(9)];
    let mut scales = out.clone().map(|values| values.iter().map(|v| v.abs()).collect::<Vec<f64>>());
    let n_all = n_heads + 2 * n_kv_heads;
    for t in 0..call.n_rows(0) {
        let (position, slot) = (call.words(1)[t] as usize, call.words(2)[t]);
        for head in 0..n_all {
            let x = &qkv[(t * n_all + head) * head_dim..][..head_dim];
            let (which, kv_head) = match head {
                h if h < n_heads => (0, h),
                h if h < n_heads + n_kv_heads => (1, h - n_heads),
                h => (2, h - n_heads - n_kv_heads),
            };
            let mut y = x.to_vec();
            if qk_norm && which < 2 {
                let mean = x.iter().map(|v| v * v).sum::<f64>() / head_dim as f64;
                let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
                for (y, gain) in y.iter_mut().zip(&gains[which]) {
                    *y *= scale * gain;
                }
            }
            let mut size: Vec<f64> = y.iter().map(|v| v.abs()).collect();
            if which < 2 {
                let before = y.clone();
                for i in 0..rope_dim / 2 {
                    let (a, b) = if neighbours { (2 * i, 2 * i + 1) } else { (i, i + rope_dim / 2) };
                    let at = |row: usize| {
                        let k = row * rope_dim + 2 * i;
                        (turns[k], turns[k + 1])
                    };
                    let (c1, s1) = at(256 + position / 256);
                    let (c2, s2) = at(position % 256);
                    let (cos, sin) = (c1 * c2 - s1 * s2, s1 * c2 + c1 * s2);
                    y[a] = before[a] * cos - before[b] * sin;
                    y[b] = before[b] * cos + before[a] * sin;
                    size[a] = before[a].abs() + before[b].abs();
                    size[b] = size[a];
                }
            }
            let at = if which == 0 {
                for (y, size) in y.iter_mut().zip(&mut size) {
                    *y *= f64::from(p.q_scale);
                    *size *= f64::from(p.q_scale);
                }
                (t * n_heads + head) * head_dim
            } else if slot == NO_SLOT {
                continue;
            } else {
                let page = call.words(3)[slot as usize * p.max_pages as usize + position / PAGE] as usize;
                ((page * n_kv_heads + kv_head) * PAGE + position % PAGE) * head_dim
            };
            out[which][at..at + head_dim].copy_from_slice(&y);
            scales[which][at..at + head_dim].copy_from_slice(&size);
        }
    }
    for (i, (values, scales)) in out.into_iter().zip(scales).enumerate() {
        call.set_with_scales(7 + i, values, scales);
    }
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for (lanes, _) in roles::lanes_variants(caps).into_iter().filter(|(name, _)| *name != "subgroup") {
        for dtype in [Dtype::F16, Dtype::F32, Dtype::Q8] {
            for (n_heads, n_kv_heads, head_dim, rope_dim, pairs, qk_norm) in [
                (3, 1, 64, 64, Pairs::Halves, false),
                (4, 2, 24, 24, Pairs::Neighbours, true),
                (2, 2, 80, 20, Pairs::Halves, true),
                (2, 1, 16, 4, Pairs::Neighbours, false),
                (1, 1, 256, 256, Pairs::Halves, true),
                (0, 2, 64, 0, Pairs::Halves, false),
                (3, 0, 64, 0, Pairs::Halves, false),
            ] {
                if dtype == Dtype::Q8 && head_dim % 32 != 0 {
                    continue;
                }
                let name =
                    format!("{n_heads}/{n_kv_heads}x{head_dim} {rope_dim} {pairs:?} {dtype:?} {lanes}");
                let sizes = Sizes { n_tokens: 4, ..Default::default() };
                cases.push(Case::new(name, sizes, move |g, inputs| {
                    let rows = Rows::up_to(5, Size::Tokens);
                    let qkv = inputs.tensor(g, rows, (n_heads + 2 * n_kv_heads) * head_dim, Dtype::F32);
                    let batch = Batch {
                        rows,
                        ids: inputs.words(g, vec![0; 5]),
                        positions: inputs.words(g, vec![0, 33, 700, 5, 0]),
                        slots: inputs.words(g, vec![0, 1, 2, NO_SLOT, 0]),
                        pages: inputs.words(g, (0..66).map(|i| (i * 7) % 13).collect()),
                        last_token: inputs.words(g, vec![0; 3]),
                        limits: inputs.words(g, vec![0; 6]),
                        outputs: inputs.words(g, vec![0]),
                        max_pages: 22,
                    };
                    let pool = |g: &mut Graph, inputs: &mut crate::graph::Inputs| {
                        inputs.pool(g, 13 * n_kv_heads.max(1) * PAGE, head_dim, dtype)
                    };
                    let kv = Kv { k: pool(g, inputs), v: pool(g, inputs), dtype, n_kv_heads, head_dim };
                    let (freq, factor) = inv_freq(rope_dim.max(4), 10_000.0, &Scaling::None);
                    let turns = rope_table(&freq, factor, 1024);
                    let turns = inputs.floats(g, 260, rope_dim.max(4), &turns);
                    let table = RopeTable { turns, rope_dim };
                    let mut gain = |g: &mut Graph| inputs.tensor(g, 1, head_dim, Dtype::F32);
                    let qk_norm = qk_norm.then(|| (gain(g), gain(g), 1e-6));
                    let p =
                        RopeKv { n_heads, n_kv_heads, head_dim, rope_dim, pairs, q_scale: 0.125, qk_norm };
                    let table = (rope_dim > 0).then_some(&table);
                    record(g, qkv, &batch, &kv, table, &p, lanes).map(|_| ())
                }));
            }
        }
    }
    cases
}
