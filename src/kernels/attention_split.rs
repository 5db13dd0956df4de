//! Attention of a few tokens over long sequences, spans side by side. The maths is in
//! `shaders/attention_split.wgsl`.

use super::attention::{
    self, Attention, AttentionParams, HEADS_MAX, Heads, Pattern, STEP, Way, attention_case,
};
use super::attention_merge::{Merge, attention_merge};
use super::kv::{Batch, Kv};
use super::roles::{self, ATTEND, CLUSTER, KV_READ, MASK, REAL};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Tensor, params, wgsl};

pub static ATTENTION_SPLIT: Kernel = Kernel {
    name: "attention_split",
    wgsl: wgsl!("attention_split"),
    roles: &[&ATTEND, &KV_READ, &CLUSTER, &MASK, &REAL],
    params: SplitParams::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct SplitParams {
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
        n_spans: u32,
    }
}

/// Positions of a span.
pub(super) const SPAN: usize = 256;

/// How the heads of a token are shared out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// Query heads per cluster.
    heads: usize,
    way: Way,
}

/// Tokens of a step above which a GPU is busy without splitting.
const TOKENS_MAX: usize = 8;

/// Heads, or groups of them, that a software driver's thread has when one more or less does not matter.
const UNITS_ENOUGH: usize = 8;

/// How to split the attention of a step of up to `n_tokens` tokens, or `None` where it need not be.
pub(super) fn choose(caps: &Caps, n_tokens: usize, p: &Attention) -> Option<Split> {
    let cluster = roles::cluster(caps);
    let way = Way { attend: attention::attend(caps, p, cluster), cluster, clusters: 1 };
    if p.max_context <= SPAN || n_tokens > TOKENS_MAX {
        return None;
    }
    if caps.software() {
        // Three heads on two threads: one works while the other waits.
        let (heads, threads) = (attention::heads_of_cluster(p, HEADS_MAX), caps.threads as usize);
        let n_units = p.n_heads / heads;
        let uneven = !n_units.is_multiple_of(threads) && n_units < UNITS_ENOUGH * threads;
        // What can be joined with the rest of the layer.
        let able = cluster == "shuffle" && p.pattern == Pattern::Dense && p.after == 0 && n_tokens == 1;
        return (able && uneven).then_some(Split { heads, way });
    }
    // Few heads per cluster make many clusters; those of a workgroup share what they read.
    let heads = attention::heads_of_cluster(p, 2);
    let clusters = ((p.n_heads / heads) as u32).min(4);
    Some(Split { heads, way: Way { clusters, ..way } })
}

pub(super) fn record(
    g: &mut Graph,
    q: Tensor,
    batch: &Batch,
    kv: &Kv,
    p: &Attention,
    dtype: Dtype,
    Split { heads, way }: Split,
) -> Result<Tensor> {
    g.expect(q, q.n_rows(), p.n_heads * p.head_dim)?;
    let n_spans = p.max_context.div_ceil(SPAN);
    let (biases, reach) = attention::biases(g, p)?;
    let y = attention::result(g, q, p, dtype);
    let n_partials = q.n_rows() * p.n_heads * n_spans;
    let partials = g.temp("attention spans", n_partials, p.head_dim + 4, Dtype::F32);
    let a = attention::params_of(q, batch, p, reach);
    let groups = (p.n_heads / heads) as u32;
    // Who sees positions after its own may see more than the step's sequences are long, such as a text that
    // was read before.
    let spans = match p.after {
        0 => Extent::Per(Size::Context, SPAN as u32),
        _ => Extent::Fixed(n_spans as u32),
    };
    let tokens = if q.n_rows() == 1 { Extent::Fixed(1) } else { q.row_extent(1) };
    let rounds = n_spans * groups as usize * (SPAN / 4 + SPAN / 32 + 8);
    let launch = g.launch(&ATTENTION_SPLIT).role(&ATTEND, way.attend).role(&CLUSTER, way.cluster);
    attention::configure(launch, p, kv, y.dtype)
        .config("CLUSTERS", way.clusters)
        .config("HEADS", heads as u32)
        .config("LANE_OCTETS", p.head_dim.div_ceil(64) as u32)
        .config("QUADS", p.head_dim.div_ceil(32) as u32)
        .config("WG_SIZE", 8 * way.clusters)
        .params(&SplitParams {
            n_tokens: a.n_tokens,
            n_heads: a.n_heads,
            n_kv_heads: a.n_kv_heads,
            max_pages: a.max_pages,
            window: a.window,
            soft_cap: a.soft_cap,
            after: a.after,
            reach: a.reach,
            stride: a.stride,
            summary: a.summary,
            n_spans: n_spans as u32,
        })
        .patch_rows("n_tokens", q)
        .read(q)
        .read(batch.positions)
        .read(batch.slots)
        .read(batch.pages)
        .read(biases)
        .read(batch.limits)
        .update(y)
        .update(partials)
        .bind(2, kv.k, Access::Read)
        .bind(2, kv.v, Access::Read)
        .grid([Extent::Fixed(groups.div_ceil(way.clusters)), spans, tokens])
        .rounds(q.n_rows(), q.n_rows() * rounds)
        .terms(SPAN + p.head_dim)
        .record()?;
    let merge = Merge { window: a.window, after: a.after, n_spans, n_heads: p.n_heads, head_dim: p.head_dim };
    attention_merge(g, partials, batch, &merge, y)?;
    Ok(y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: SplitParams = call.params();
    let plain = AttentionParams {
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
    let heads = Heads::new(call, plain, 8)?;
    let head_dim = call.config_usize("HEAD_DIM")?;
    let (mut y, mut partials) = (call.floats(6), call.floats(7));
    let mut y_scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    let mut scales: Vec<f64> = partials.iter().map(|v| v.abs()).collect();
    let (n_heads, n_spans) = (p.n_heads as usize, p.n_spans as usize);
    for (t, head) in (0..p.n_tokens as usize).flat_map(|t| (0..n_heads).map(move |head| (t, head))) {
        let base = (t * n_heads + head) * head_dim;
        let range = heads.range(t).unwrap_or(0..0);
        let first = range.start / SPAN * SPAN;
        if range.end <= first + SPAN {
            let span = heads.span(t, head, range.clone());
            for c in 0..head_dim {
                let total = if range.is_empty() { 1.0 } else { span.total };
                y[base + c] = span.out[c] / total;
                y_scales[base + c] = span.out_size[c] / total * span.size;
            }
            continue;
        }
        for start in (first..range.end).step_by(SPAN) {
            let span = heads.span(t, head, start.max(range.start)..range.end.min(start + SPAN));
            let at = ((t * n_heads + head) * n_spans + start / SPAN) * (head_dim + 4);
            partials[at..at + 4].copy_from_slice(&[span.largest, span.total, 0.0, 0.0]);
            scales[at..at + 4].copy_from_slice(&[
                span.size.max(span.largest.abs()),
                span.total * span.size,
                0.0,
                0.0,
            ]);
            for c in 0..head_dim {
                partials[at + 4 + c] = span.out[c];
                scales[at + 4 + c] = span.out_size[c] * span.size;
            }
        }
    }
    call.set_with_scales(6, y, y_scales);
    call.set_with_scales(7, partials, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |shape, kind, heads, way| {
        let split = Split { heads, way };
        cases.push(attention_case(
            format!("{split:?}"),
            shape,
            kind,
            STEP,
            move |g, q, batch, kv, p, real| record(g, q, batch, kv, p, real, split),
        ));
    };
    let cluster = roles::cluster(caps);
    let by_dimensions = |clusters| Way { attend: "by_dimensions", cluster, clusters };
    let best = |clusters| match cluster {
        "shuffle" => Way { attend: "by_positions", ..by_dimensions(clusters) },
        _ => by_dimensions(clusters),
    };
    let (f16, f32) = (Dtype::F16, Dtype::F32);
    add([9, 3, 64], (None, None, f16, f16), 3, best(1));
    add([9, 3, 64], (None, None, f16, f16), 3, by_dimensions(1));
    add([4, 1, 256], (Some(300), Some(20.0), f32, f32), 2, best(2));
    add([9, 3, 64], (None, None, f16, Dtype::Q8Sums), 3, best(1));
    add([2, 2, 80], (None, None, Dtype::F16, f16), 1, best(2));
    add([8, 2, 128], (None, None, f16, f32), 2, best(4));
    add([3, 3, 96], (None, None, Dtype::Q8, f16), 1, best(4));
    add([6, 6, 16], (None, None, f32, f32), 1, best(4));
    for cluster in roles::cluster_variants(caps) {
        let way = Way { attend: "by_dimensions", cluster, clusters: 4 };
        add([10, 2, 64], (Some(300), None, f16, f32), 1, way);
    }
    cases
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::gpu::{Gpu, Options};
    use crate::graph::{Inputs, Scratch};

    #[test]
    fn merged_spans_are_the_bits_of_one_cluster() {
        let gpu = Gpu::open(&Options::default()).expect("an adapter");
        let cluster = roles::cluster(gpu.caps());
        for window in [None, Some(300)] {
            let both = Arc::new(Mutex::new(Vec::new()));
            let results = both.clone();
            let kind = (window, None, Dtype::F16, Dtype::F32);
            let case =
                attention_case("both".into(), [9, 3, 64], kind, STEP, move |g, q, batch, kv, p, real| {
                    let way = Way { attend: attention::attend(g.caps(), p, cluster), cluster, clusters: 1 };
                    let whole = attention::record(g, q, batch, kv, p, real, way)?;
                    let split = Split { heads: 1, way };
                    let spans = record(g, q, batch, kv, p, real, split)?;
                    g.keep(whole);
                    g.keep(spans);
                    results.lock().expect("one thread").extend([whole, spans]);
                    Ok(spans)
                });
            let mut graph = Graph::new(gpu.caps());
            (case.record)(&mut graph, &mut Inputs::new(1)).expect("a graph");
            let program = graph.build(&gpu, &mut Scratch::default()).expect("a program");
            gpu.run(&program.plan, &case.sizes).expect("it runs");
            let tensors = both.lock().expect("one thread").clone();
            let n = case.sizes.n_tokens as usize * 9 * 64;
            let read = |tensor: Tensor| program.read(&gpu, tensor).expect("memory")[..n].to_vec();
            let (whole, spans) = (read(tensors[0]), read(tensors[1]));
            assert!(whole.iter().filter(|v| **v != 0.0).count() > n / 2);
            assert_eq!(whole, spans);
        }
    }
}
