//! Fused attention over the paged cache. The maths is in `shaders/attention.wgsl`.
//!
//! Longer than most files: the twin and the cases here serve all kernels of attention.

use std::ops::Range;

use super::attention_split;
use super::attention_tile;
use super::attention_weights::attention_weights;
use super::kv::{Batch, Kv, NO_SLOT, PAGE};
use super::roles::{self, ATTEND, CLUSTER, KV_READ, MASK, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{
    Access, Binding, Call, Case, Dtype, Graph, Kernel, LaunchBuilder, Rows, Tensor, params, wgsl,
};

pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    wgsl: wgsl!("attention"),
    roles: &[&ATTEND, &KV_READ, &CLUSTER, &MASK, &REAL],
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
pub(super) const HEADS_MAX: usize = 4;

/// The most query heads of a cluster that share keys and values, `most` at most.
pub(super) fn heads_of_cluster(p: &Attention, most: usize) -> usize {
    let group = p.n_heads / p.n_kv_heads;
    let fits = |heads: &usize| group.is_multiple_of(*heads) && heads * p.head_dim <= HEADS_MAX * 128;
    (1..=most.min(HEADS_MAX)).rev().find(fits).unwrap_or(1)
}

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
    if let Some(split) = attention_split::choose(g.caps(), q.n_rows(), p) {
        return attention_split::record(g, q, batch, kv, p, dtype, split);
    }
    if let Some(row_lanes) = attention_tile::choose(g.caps(), q.n_rows()) {
        return attention_tile::record(g, q, batch, kv, p, dtype, row_lanes);
    }
    let cluster = roles::cluster(g.caps());
    // Clusters that share barriers must all run as often, which one per workgroup does.
    let clusters = if g.caps().software() || cluster == "shared" { 1 } else { 4 };
    let way = Way { attend: attend(g.caps(), p, cluster), cluster, clusters };
    record(g, q, batch, kv, p, dtype, way)
}

/// How the heads of a kv head are worked on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Way {
    pub attend: &'static str,
    pub cluster: &'static str,
    /// Clusters per workgroup.
    pub clusters: u32,
}

pub(super) fn record(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    dtype: Dtype,
    Way { attend, cluster, clusters }: Way,
) -> Result<Tensor> {
    g.expect(q, q.n_rows(), p.n_heads * p.head_dim)?;
    let heads = heads_of_cluster(p, HEADS_MAX);
    let (biases, reach) = biases(g, p)?;
    let y = result(g, q, p, dtype);
    let mut launch = g.launch(&ATTENTION).role(&ATTEND, attend).role(&CLUSTER, cluster);
    if cluster == "shuffle" && p.pattern == Pattern::Dense {
        let (quads, context) = (p.head_dim.div_ceil(32), 32 * batch.max_pages);
        let rounds = context / 4 + context / 32 + 3 * context.div_ceil(256) + heads * (1 + quads) + 8;
        launch = launch.rounds(q.n_rows(), q.n_rows() * p.n_heads / heads * rounds);
    }
    configure(launch, p, kv, y.dtype)
        .config("CLUSTERS", clusters)
        .config("HEADS", heads as u32)
        .config("LANE_OCTETS", p.head_dim.div_ceil(64) as u32)
        .config("QUADS", p.head_dim.div_ceil(32) as u32)
        .config("WG_SIZE", 8 * clusters)
        .params(&params_of(q, batch, p, reach))
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

/// The tensor for the result, of which each head is written by lanes of its own.
pub(super) fn result(g: &mut Graph, q: Tensor, p: &Attention, dtype: Dtype) -> Tensor {
    let n_columns = p.n_heads * p.head_dim;
    let dtype = match dtype {
        Dtype::Q8Sums if !p.head_dim.is_multiple_of(32) => Dtype::F16,
        other => other,
    };
    match p.head_dim.is_multiple_of(8) {
        true => g.activations("attention", q.rows, n_columns, dtype),
        false => g.temp("attention", q.rows, n_columns, dtype),
    }
}

/// Lanes that are one vector read keys of their own as fast as one key together, and have nothing to add up
/// then.
pub(super) fn attend(caps: &Caps, p: &Attention, cluster: &str) -> &'static str {
    match caps.software() && cluster == "shuffle" && p.head_dim.is_multiple_of(8) {
        true => "by_positions",
        false => "by_dimensions",
    }
}

/// The values that scores get, and their reach.
pub(super) fn biases(g: &mut Graph, p: &Attention) -> Result<(Tensor, usize)> {
    Ok(match p.bias {
        Bias::None => (g.none(), 0),
        Bias::Alibi => (alibi_slopes(g, p.n_heads), 0),
        Bias::Relative { table, reach } => {
            g.expect(table, 1, p.n_heads * (2 * reach + 1))?;
            (table, reach)
        }
    })
}

/// The roles and numbers that every attention kernel has.
pub(super) fn configure<'g>(
    launch: LaunchBuilder<'g>,
    p: &Attention,
    kv: &Kv,
    dtype: Dtype,
) -> LaunchBuilder<'g> {
    launch
        .role(&KV_READ, kv.role())
        .role(&MASK, p.pattern.name())
        .role(&REAL, roles::real_name(dtype))
        .config("ALIBI", matches!(p.bias, Bias::Alibi))
        .config("GROUP", (p.n_heads / p.n_kv_heads) as u32)
        .config("HEAD_DIM", p.head_dim as u32)
        .config("RELATIVE", matches!(p.bias, Bias::Relative { .. }))
        .config("SOFT_CAP", p.soft_cap.is_some())
}

pub(super) fn params_of(q: Tensor, batch: &Batch, p: &Attention, reach: usize) -> AttentionParams {
    AttentionParams {
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
    }
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

/// What a twin knows of an attention launch, whose first six arguments are those of `attention`.
pub(super) struct Heads {
    p: AttentionParams,
    head_dim: usize,
    capped: bool,
    alibi: bool,
    relative: bool,
    pattern: Pattern,
    q: Vec<f64>,
    positions: Vec<u32>,
    slots: Vec<u32>,
    pages: Vec<u32>,
    biases: Vec<f64>,
    limits: Vec<u32>,
    k: Vec<f64>,
    v: Vec<f64>,
}

/// The softmax sums of a head over a span of positions.
pub(super) struct Span {
    /// The largest score; -1e30 where no position is seen.
    pub largest: f64,
    pub total: f64,
    /// (head_dim): the weighted sum of the values, and of their magnitudes.
    pub out: Vec<f64>,
    pub out_size: Vec<f64>,
    /// The size of the numbers that scores are summed from: an error of a score is one of its weight.
    pub size: f64,
}

impl Heads {
    /// `keys`: which argument the keys are; the values follow.
    pub fn new(call: &Call, p: AttentionParams, keys: usize) -> Result<Heads> {
        Ok(Heads {
            p,
            head_dim: call.config_usize("HEAD_DIM")?,
            capped: call.config("SOFT_CAP")? != 0.0,
            alibi: call.config("ALIBI")? != 0.0,
            relative: call.config("RELATIVE")? != 0.0,
            pattern: match call.role("mask") {
                "strided" => Pattern::Strided { stride: p.stride },
                "fixed" => Pattern::Fixed { stride: p.stride, summary: p.summary },
                _ => Pattern::Dense,
            },
            q: call.floats(0),
            positions: call.words(1).to_vec(),
            slots: call.words(2).to_vec(),
            pages: call.words(3).to_vec(),
            biases: call.floats(4),
            limits: call.words(5).to_vec(),
            k: call.floats(keys),
            v: call.floats(keys + 1),
        })
    }

    /// The positions that a token may see, or `None` for a token without a sequence.
    pub fn range(&self, t: usize) -> Option<Range<usize>> {
        let position = self.positions[t] as usize;
        let first = (position + 1).saturating_sub(self.p.window as usize);
        let last = (self.limits[t] as usize).min(position + self.p.after as usize);
        (self.slots[t] != NO_SLOT).then_some(first..last + 1)
    }

    pub fn span(&self, t: usize, head: usize, range: Range<usize>) -> Span {
        let (p, head_dim, biases) = (&self.p, self.head_dim, &self.biases);
        let (n_heads, n_kv_heads, reach) = (p.n_heads as usize, p.n_kv_heads as usize, p.reach as isize);
        let (position, slot) = (self.positions[t] as usize, self.slots[t] as usize);
        let query = &self.q[(t * n_heads + head) * head_dim..][..head_dim];
        let row = |at: usize| {
            let page = self.pages[slot * p.max_pages as usize + at / PAGE] as usize;
            let kv_head = head / (n_heads / n_kv_heads);
            ((page * n_kv_heads + kv_head) * PAGE + at % PAGE) * head_dim
        };
        let mut size = 1.0f64;
        let seen: Vec<usize> = range.filter(|&at| self.pattern.sees(position, at)).collect();
        let scores: Vec<f64> = seen
            .iter()
            .map(|&at| {
                let key = &self.k[row(at)..][..head_dim];
                let terms = query.iter().zip(key).map(|(a, b)| a * b);
                size = size.max(terms.clone().map(f64::abs).sum());
                let s: f64 = terms.sum();
                let cap = f64::from(p.soft_cap);
                let s = if self.capped { cap * (s / cap).tanh() } else { s };
                let bias = if self.alibi {
                    biases[head] * at as f64
                } else if self.relative {
                    let ahead = (at as isize - position as isize).clamp(-reach, reach) + reach;
                    biases[head * (2 * reach as usize + 1) + ahead as usize]
                } else {
                    0.0
                };
                size = size.max(bias.abs());
                s + bias
            })
            .collect();
        let largest = scores.iter().fold(-1e30, |m: f64, s| m.max(*s));
        let (mut out, mut out_size) = (vec![0.0; head_dim], vec![0.0; head_dim]);
        let mut total = 0.0;
        for (&at, s) in seen.iter().zip(&scores) {
            let w = (s - largest).exp();
            total += w;
            for (c, value) in self.v[row(at)..][..head_dim].iter().enumerate() {
                out[c] += w * value;
                out_size[c] += w * value.abs();
            }
        }
        Span { largest, total, out, out_size, size }
    }
}

pub(super) fn twin(call: &mut Call) -> Result<()> {
    let p: AttentionParams = call.params();
    let heads = Heads::new(call, p, 7)?;
    let mut y = call.floats(6);
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    let (n_heads, head_dim) = (heads.p.n_heads as usize, heads.head_dim);
    for t in 0..heads.p.n_tokens as usize {
        for head in 0..n_heads {
            let base = (t * n_heads + head) * head_dim;
            y[base..base + head_dim].fill(0.0);
            scales[base..base + head_dim].fill(0.0);
            let Some(range) = heads.range(t) else { continue };
            let span = heads.span(t, head, range);
            for c in 0..head_dim {
                y[base + c] = span.out[c] / span.total;
                scales[base + c] = span.out_size[c] / span.total * span.size;
            }
        }
    }
    call.set_with_scales(6, y, scales);
    Ok(())
}

/// The rest of what a case of attention chooses: the window, the cap, how the cache and the result are
/// stored.
pub(super) type Kind = (Option<u32>, Option<f32>, Dtype, Dtype);

/// A (position, slot) of each token of a step, and the same of a prompt of 41 tokens beside a few others.
pub(super) const STEP: fn() -> Vec<(u32, u32)> =
    || vec![(0, 0), (33, 1), (599, 2), (31, NO_SLOT), (256, 1), (9, 0)];
pub(super) const PROMPT: fn() -> Vec<(u32, u32)> = || {
    let prompt = (50..91).map(|position| (position, 1));
    [(599, 2)].into_iter().chain(prompt).chain([(5, NO_SLOT), (3, 0), (4, 0), (0, 0)]).collect()
};

/// Records attention over random sequences of up to 600 positions; `record` gets what `attention` does.
/// `shape`: heads, kv heads, dimensions of a head.
pub(super) fn attention_case(
    variant: String,
    shape: [usize; 3],
    (window, soft_cap, dtype, real): Kind,
    tokens: fn() -> Vec<(u32, u32)>,
    record: impl Fn(&mut Graph, Tensor, &Batch, &Kv, &Attention, Dtype) -> Result<Tensor> + Send + Sync + 'static,
) -> Case {
    // Eight heads see by strides, two by blocks. Three heads of 96 see both ways, within 9 positions after their own, with a bias by distance.
    let after = if shape == [3, 3, 96] { 9 } else { 0 };
    let [n_heads, n_kv_heads, head_dim] = shape;
    let name =
        format!("{n_heads}/{n_kv_heads}x{head_dim} {window:?} {soft_cap:?} {dtype:?} {real:?} {variant}");
    // The last token is one that the step does not bring.
    let n_max = tokens().len();
    let sizes = Sizes { n_tokens: n_max as u32 - 1, n_outputs: 0, n_context: 600 };
    Case::new(name, sizes, move |g, inputs| {
        let rows = Rows::up_to(n_max, Size::Tokens);
        let q = inputs.tensor(g, rows, n_heads * head_dim, Dtype::F32);
        let (positions, slots): (Vec<u32>, Vec<u32>) = tokens().into_iter().unzip();
        let beyond = |(i, &position): (usize, &u32)| {
            if after > 0 { (position + [20, 2, 8, 0, 14, 0][i % 6]).min(607) } else { position }
        };
        let limits = positions.iter().enumerate().map(beyond).collect();
        let batch = Batch {
            rows,
            ids: inputs.words(g, vec![0; n_max]),
            positions: inputs.words(g, positions),
            slots: inputs.words(g, slots),
            pages: inputs.words(g, (0..57).map(|i| (i * 7) % 23).collect()),
            last_token: inputs.words(g, vec![0; 3]),
            outputs: inputs.words(g, vec![0]),
            limits: inputs.words(g, limits),
            max_pages: 19,
        };
        let n_rows = 23 * n_kv_heads * PAGE;
        let k = inputs.pool(g, n_rows, head_dim, dtype);
        let v = inputs.pool(g, n_rows, head_dim, dtype);
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
        record(g, q, &batch, &kv, &p, real).map(|_| ())
    })
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |shape, window, soft_cap, dtype, real, way| {
        let kind = (window, soft_cap, dtype, real);
        cases.push(attention_case(format!("{way:?}"), shape, kind, STEP, move |g, q, batch, kv, p, real| {
            record(g, q, batch, kv, p, real, way)
        }));
    };
    let cluster = roles::cluster(caps);
    let by_dimensions = Way { attend: "by_dimensions", cluster, clusters: 1 };
    let best = match cluster {
        "shuffle" => Way { attend: "by_positions", ..by_dimensions },
        _ => by_dimensions,
    };
    for shape in [[9, 3, 64], [4, 1, 256], [2, 2, 80], [4, 4, 16], [8, 2, 128], [3, 3, 96], [4, 2, 24]] {
        add(shape, None, None, Dtype::F16, Dtype::F16, best);
        add(shape, Some(13), Some(20.0), Dtype::F32, Dtype::F32, best);
    }
    // Heads of 20 dimensions are no whole octets.
    for shape in [[9, 3, 64], [3, 3, 96], [4, 2, 20]] {
        add(shape, None, None, Dtype::F16, Dtype::F16, by_dimensions);
    }
    // Six heads stand for slopes that are no powers of two apart; see the record.
    add([6, 6, 16], None, None, Dtype::F32, Dtype::F32, best);
    add([9, 3, 64], None, None, Dtype::Q8, Dtype::F16, best);
    for shape in [[9, 3, 64], [4, 1, 256], [3, 3, 96], [4, 2, 24]] {
        add(shape, None, None, Dtype::F16, Dtype::Q8Sums, best);
    }
    add([4, 1, 256], Some(40), None, Dtype::Q8, Dtype::F32, best);
    for cluster in roles::cluster_variants(caps) {
        let clusters = if cluster == "shared" { 1 } else { 4 };
        let way = Way { attend: "by_dimensions", cluster, clusters };
        add([4, 2, 64], Some(300), None, Dtype::F16, Dtype::F32, way);
    }
    cases
}
