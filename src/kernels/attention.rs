//! Fused attention over the paged cache. The maths is in `shaders/attention.wgsl`.

use super::attention_weights::attention_weights;
use super::kv::{Batch, Kv, NO_SLOT, PAGE};
use super::roles::{self, CLUSTER, KV_READ, MASK, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Binding, Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    wgsl: wgsl!("attention"),
    roles: &[&KV_READ, &CLUSTER, &MASK, &REAL],
    params: AttentionParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct AttentionParams {
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
    }
}

/// Which of the positions before its own a token sees. Groups of 4 positions in which there is none
/// are skipped. Source: Child et al. 2019, arXiv:1904.10509, section 4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pattern {
    #[default]
    Dense,
    /// The last `stride`, and every stride-th before them.
    Strided { stride: u32 },
    /// Its own block of `stride`, and the last `summary` of each block before it.
    Fixed { stride: u32, summary: u32 },
}

impl Pattern {
    /// The name of its file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Pattern::Dense => "dense",
            Pattern::Strided { .. } => "strided",
            Pattern::Fixed { .. } => "fixed",
        }
    }

    /// (stride, summary), both at least 1 where they count.
    pub(super) fn params(self) -> (u32, u32) {
        match self {
            Pattern::Dense => (1, 1),
            Pattern::Strided { stride } => (stride.max(1), 1),
            Pattern::Fixed { stride, summary } => (stride.max(1), summary.clamp(1, stride.max(1))),
        }
    }

    /// Whether a token at `own` sees position `at`, which is not after it.
    pub fn sees(self, own: usize, at: usize) -> bool {
        let (stride, summary) = self.params();
        let (stride, summary) = (stride as usize, summary as usize);
        match self {
            Pattern::Dense => true,
            Pattern::Strided { .. } => own - at < stride || (own - at).is_multiple_of(stride),
            Pattern::Fixed { .. } => own / stride == at / stride || at % stride >= stride - summary,
        }
    }
}

/// What is added to the scores.
#[derive(Debug, Clone, Copy)]
pub enum Bias {
    None,
    /// A slope per head times the position (Press et al. 2022, arXiv:2108.12409).
    Alibi,
    /// A value per head and distance, (n_heads, 2 * reach + 1) in one row; the distances -reach and
    /// reach stand for all beyond (Raffel et al. 2020, arXiv:1910.10683, section 2.1).
    Relative {
        table: Tensor,
        reach: usize,
    },
}

/// The shape and the limits of an attention layer.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// Positions that a token sees, itself included.
    pub window: Option<u32>,
    /// Positions after its own that a token sees: 0 is causal.
    pub after: u32,
    /// s = cap * tanh(s / cap)
    pub soft_cap: Option<f32>,
    pub bias: Bias,
    pub pattern: Pattern,
    /// The longest sequence, in positions.
    pub max_context: usize,
}

/// Query heads of a cluster: more would not fit its registers.
const HEADS_MAX: usize = 4;

/// Records causal attention of `q` over the cache and returns the result, stored as `dtype`.
///
/// Shapes: `q` (scaled already) and the result: (n_tokens, n_heads * head_dim).
pub fn attention(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    dtype: Dtype,
) -> Result<Tensor> {
    if let Some(n_positions) = g.watched_positions() {
        let weights = attention_weights(g, q, batch, kv, p, n_positions)?;
        g.watched(weights);
    }
    let cluster = roles::cluster(g.caps());
    // Clusters that share barriers must all run as often, which one per workgroup does.
    let clusters = if g.caps().software() || cluster == "shared" { 1 } else { 4 };
    record(g, q, batch, kv, p, dtype, cluster, clusters)
}

#[expect(clippy::too_many_arguments, reason = "the two last are the variants that tests walk")]
fn record(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    dtype: Dtype,
    cluster: &'static str,
    clusters: u32,
) -> Result<Tensor> {
    g.expect(q, q.n_rows(), p.n_heads * p.head_dim)?;
    let group = p.n_heads / p.n_kv_heads;
    let fits = |heads: &usize| group.is_multiple_of(*heads) && heads * p.head_dim <= HEADS_MAX * 128;
    let heads = (1..=HEADS_MAX).rev().find(fits).unwrap_or(1);
    let (biases, reach) = match p.bias {
        Bias::None => (g.none(), 0),
        Bias::Alibi => (alibi_slopes(g, p.n_heads), 0),
        Bias::Relative { table, reach } => {
            g.expect(table, 1, p.n_heads * (2 * reach + 1))?;
            (table, reach)
        }
    };
    let y = g.temp("attention", q.rows, p.n_heads * p.head_dim, dtype);
    g.launch(&ATTENTION)
        .role(&KV_READ, kv.role())
        .role(&CLUSTER, cluster)
        .role(&MASK, p.pattern.name())
        .role(&REAL, roles::real_name(dtype))
        .config("ALIBI", matches!(p.bias, Bias::Alibi))
        .config("CLUSTERS", clusters)
        .config("GROUP", group as u32)
        .config("HEADS", heads as u32)
        .config("HEAD_DIM", p.head_dim as u32)
        .config("QUADS", p.head_dim.div_ceil(32) as u32)
        .config("RELATIVE", matches!(p.bias, Bias::Relative { .. }))
        .config("SOFT_CAP", p.soft_cap.is_some())
        .config("WG_SIZE", 8 * clusters)
        .params(&AttentionParams {
            n_tokens: q.n_rows() as u32,
            n_heads: p.n_heads as u32,
            n_kv_heads: p.n_kv_heads as u32,
            max_pages: batch.max_pages as u32,
            window: p.window.unwrap_or(u32::MAX),
            soft_cap: p.soft_cap.unwrap_or(1.0),
            after: p.after,
            reach: reach as u32,
            stride: p.pattern.params().0,
            summary: p.pattern.params().1,
        })
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
        .grid([q.row_extent(clusters), Extent::Fixed((p.n_heads / heads) as u32), Extent::Fixed(1)])
        .terms(p.max_context.min(4096) + p.head_dim)
        .record()?;
    Ok(y)
}

/// 2^(-8 i / n) for the largest power of two n within n_heads; heads beyond take every second slope of
/// 2 n heads.
pub(super) fn alibi_slopes(g: &mut Graph, n_heads: usize) -> Tensor {
    let n = 1 << n_heads.ilog2();
    let slope = |i: usize, n: usize| (-8.0 * (i + 1) as f64 / n as f64).exp2() as f32;
    let slopes = (0..n_heads).map(|i| if i < n { slope(i, n) } else { slope(2 * (i - n), 2 * n) });
    let words: Vec<u32> = slopes.map(f32::to_bits).collect();
    g.external("slopes", 1, n_heads, Dtype::F32, Binding::Host(std::sync::Arc::new(words)))
}

fn twin(call: &mut Call) -> Result<()> {
    let p: AttentionParams = call.params();
    let head_dim = call.config_usize("HEAD_DIM")?;
    let capped = call.config("SOFT_CAP")? != 0.0;
    let (n_heads, n_kv_heads) = (p.n_heads as usize, p.n_kv_heads as usize);
    let (q, k, v, mut y) = (call.floats(0), call.floats(7), call.floats(8), call.floats(6));
    let (alibi, relative) = (call.config("ALIBI")? != 0.0, call.config("RELATIVE")? != 0.0);
    let biases = call.floats(4);
    let reach = p.reach as isize;
    let pattern = match call.role("mask") {
        "strided" => Pattern::Strided { stride: p.stride },
        "fixed" => Pattern::Fixed { stride: p.stride, summary: p.summary },
        _ => Pattern::Dense,
    };
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for t in 0..p.n_tokens as usize {
        let (position, slot) = (call.words(1)[t] as usize, call.words(2)[t]);
        for head in 0..n_heads {
            let base = (t * n_heads + head) * head_dim;
            y[base..base + head_dim].fill(0.0);
            scales[base..base + head_dim].fill(0.0);
            if slot == NO_SLOT {
                continue;
            }
            let query = &q[base..base + head_dim];
            let first = (position + 1).saturating_sub(p.window as usize);
            let last = (call.words(5)[t] as usize).min(position + p.after as usize);
            let row = |at: usize| {
                let page = call.words(3)[slot as usize * p.max_pages as usize + at / PAGE] as usize;
                let kv_head = head / (n_heads / n_kv_heads);
                ((page * n_kv_heads + kv_head) * PAGE + at % PAGE) * head_dim
            };
            let mut size = 1.0f64;
            let seen: Vec<usize> = (first..=last).filter(|&at| pattern.sees(position, at)).collect();
            let scores: Vec<f64> = seen
                .iter()
                .map(|&at| {
                    let key = &k[row(at)..][..head_dim];
                    let terms = query.iter().zip(key).map(|(a, b)| a * b);
                    size = size.max(terms.clone().map(f64::abs).sum());
                    let s: f64 = terms.sum();
                    let s =
                        if capped { f64::from(p.soft_cap) * (s / f64::from(p.soft_cap)).tanh() } else { s };
                    let bias = if alibi {
                        biases[head] * at as f64
                    } else if relative {
                        let ahead = (at as isize - position as isize).clamp(-reach, reach) + reach;
                        biases[head * (2 * reach as usize + 1) + ahead as usize]
                    } else {
                        0.0
                    };
                    size = size.max(bias.abs());
                    s + bias
                })
                .collect();
            let largest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
            let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (&at, w) in seen.iter().zip(&weights) {
                for (c, value) in v[row(at)..][..head_dim].iter().enumerate() {
                    y[base + c] += w / total * value;
                    // An error of a score is an error of its weight; scores err by eps * size.
                    scales[base + c] += w / total * value.abs() * size;
                }
            }
        }
    }
    call.set_with_scales(6, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |shape: [usize; 3],
                   window: Option<u32>,
                   soft_cap,
                   dtype: Dtype,
                   real,
                   cluster,
                   clusters| {
        // Eight heads see by strides, two by blocks. Three heads of 96 see both ways, within 9 positions after their own, with a bias by distance.
        let after = if shape == [3, 3, 96] { 9 } else { 0 };
        let [n_heads, n_kv_heads, head_dim] = shape;
        let name = format!(
            "{n_heads}/{n_kv_heads}x{head_dim} {window:?} {soft_cap:?} {dtype:?} {real:?} {cluster} {clusters}"
        );
        let sizes = Sizes { n_tokens: 5, n_outputs: 0, n_context: 600 };
        cases.push(Case::new(name, sizes, move |g, inputs| {
            let rows = Rows::up_to(6, Size::Tokens);
            let q = inputs.tensor(g, rows, n_heads * head_dim, Dtype::F32);
            let batch = Batch {
                rows,
                ids: inputs.words(g, vec![0; 6]),
                positions: inputs.words(g, vec![0, 33, 599, 31, 256, 9]),
                slots: inputs.words(g, vec![0, 1, 2, NO_SLOT, 1, 0]),
                pages: inputs.words(g, (0..57).map(|i| (i * 7) % 23).collect()),
                last_token: inputs.words(g, vec![0; 3]),
                outputs: inputs.words(g, vec![0]),
                limits: inputs.words(
                    g,
                    if after > 0 { vec![20, 35, 607, 31, 270, 9] } else { vec![0, 33, 599, 31, 256, 9] },
                ),
                max_pages: 19,
            };
            let n_rows = 23 * n_kv_heads * PAGE;
            let k = inputs.tensor(g, n_rows, head_dim, dtype);
            let v = inputs.tensor(g, n_rows, head_dim, dtype);
            let kv = Kv { k, v, dtype, n_kv_heads, head_dim };
            let bias = match n_heads {
                3 => Bias::Relative { table: inputs.tensor(g, 1, 3 * 15, Dtype::F32), reach: 7 },
                6 => Bias::Alibi,
                _ => Bias::None,
            };
            let pattern = match n_heads {
                8 if window.is_none() => Pattern::Strided { stride: 13 },
                8 => Pattern::Strided { stride: 32 },
                2 if window.is_none() => Pattern::Fixed { stride: 30, summary: 3 },
                2 => Pattern::Fixed { stride: 32, summary: 8 },
                _ => Pattern::Dense,
            };
            let p = Attention {
                n_heads,
                n_kv_heads,
                head_dim,
                window,
                after,
                soft_cap,
                bias,
                pattern,
                max_context: 600,
            };
            record(g, q, &batch, &kv, &p, real, cluster, clusters).map(|_| ())
        }));
    };
    let best = roles::cluster(caps);
    for shape in [[9, 3, 64], [4, 1, 256], [2, 2, 80], [4, 4, 16], [8, 2, 128], [3, 3, 96], [4, 2, 24]] {
        add(shape, None, None, Dtype::F16, Dtype::F16, best, 1);
        add(shape, Some(13), Some(20.0), Dtype::F32, Dtype::F32, best, 1);
    }
    // Six heads stand for slopes that are no powers of two apart; see the record.
    add([6, 6, 16], None, None, Dtype::F32, Dtype::F32, best, 1);
    add([9, 3, 64], None, None, Dtype::Q8, Dtype::F16, best, 1);
    add([4, 1, 256], Some(40), None, Dtype::Q8, Dtype::F32, best, 1);
    for cluster in roles::cluster_variants(caps) {
        let clusters = if cluster == "shared" { 1 } else { 4 };
        add([4, 2, 64], Some(300), None, Dtype::F16, Dtype::F32, cluster, clusters);
    }
    cases
}
