//! The weights of attention, written out. The maths is in `shaders/attention_weights.wgsl`.

use super::attention::{Attention, Bias, Pattern, alibi_slopes};
use super::kv::{Batch, Kv, NO_SLOT, PAGE};
use super::roles::{self, KV_READ, LANES, MASK};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Call, Case, Dtype, Graph, Inputs, Kernel, Rows, Tensor, params, wgsl};

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
    let (biases, reach) = match p.bias {
        Bias::None => (g.none(), 0),
        Bias::Alibi => (alibi_slopes(g, p.n_heads), 0),
        Bias::Relative { table, reach } => {
            g.expect(table, 1, p.n_heads * (2 * reach + 1))?;
            (table, reach)
        }
    };
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
    let head_dim = call.config_usize("HEAD_DIM")?;
    let (n_heads, n_kv_heads, n_positions) =
        (p.n_heads as usize, p.n_kv_heads as usize, p.n_positions as usize);
    let capped = call.config("SOFT_CAP")? != 0.0;
    let (alibi, relative) = (call.config("ALIBI")? != 0.0, call.config("RELATIVE")? != 0.0);
    let (q, k, biases, mut w) = (call.floats(0), call.floats(7), call.floats(4), call.floats(6));
    let reach = p.reach as isize;
    let pattern = match call.role("mask") {
        "strided" => Pattern::Strided { stride: p.stride },
        "fixed" => Pattern::Fixed { stride: p.stride, summary: p.summary },
        _ => Pattern::Dense,
    };
    let mut scales: Vec<f64> = w.iter().map(|w| w.abs()).collect();
    for t in 0..p.n_tokens as usize {
        let (position, slot) = (call.words(1)[t] as usize, call.words(2)[t]);
        for head in 0..n_heads {
            let base = (t * n_heads + head) * n_positions;
            w[base..base + n_positions].fill(0.0);
            scales[base..base + n_positions].fill(0.0);
            if slot == NO_SLOT {
                continue;
            }
            let query = &q[(t * n_heads + head) * head_dim..][..head_dim];
            let first = (position + 1).saturating_sub(p.window as usize);
            let last = (call.words(5)[t] as usize).min(position + p.after as usize).min(n_positions - 1);
            let mut size = 1.0f64;
            let seen: Vec<usize> = (first..=last).filter(|&at| pattern.sees(position, at)).collect();
            let scores: Vec<f64> = seen
                .iter()
                .map(|&at| {
                    let page = call.words(3)[slot as usize * p.max_pages as usize + at / PAGE] as usize;
                    let row = (page * n_kv_heads + head / (n_heads / n_kv_heads)) * PAGE + at % PAGE;
                    let key = &k[row * head_dim..][..head_dim];
                    let terms = query.iter().zip(key).map(|(a, b)| a * b);
                    size = size.max(terms.clone().map(f64::abs).sum());
                    let (s, cap): (f64, f64) = (terms.sum(), f64::from(p.soft_cap));
                    let s = if capped { cap * (s / cap).tanh() } else { s };
                    let ahead = (at as isize - position as isize).clamp(-reach, reach) + reach;
                    let bias = match (alibi, relative) {
                        (true, _) => biases[head] * at as f64,
                        (_, true) => biases[head * (2 * reach as usize + 1) + ahead as usize],
                        _ => 0.0,
                    };
                    size = size.max(bias.abs());
                    s + bias
                })
                .collect();
            let largest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
            let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            for (&at, s) in seen.iter().zip(&scores) {
                w[base + at] = (s - largest).exp() / total;
                // An error of a score is an error of its weight; scores err by eps * size. What is below
                // exp(-46) of the largest is taken for nothing.
                scales[base + at] = w[base + at] * size + 1e-14;
            }
        }
    }
    call.set_with_scales(6, w, scales);
    Ok(())
}

/// Random operands of a layer of `shape` (n_heads, n_kv_heads, head_dim). Eight heads see by strides, two by
/// blocks; three see both ways, within 9 positions after their own, with a bias by distance; six have slopes.
fn operands(
    g: &mut Graph,
    inputs: &mut Inputs,
    [n_heads, n_kv_heads, head_dim]: [usize; 3],
    (window, soft_cap): (Option<u32>, Option<f32>),
    dtype: Dtype,
) -> (Tensor, Batch, Kv, Attention) {
    let after = if n_heads == 3 { 9 } else { 0 };
    let rows = Rows::up_to(6, Size::Tokens);
    let q = inputs.tensor(g, rows, n_heads * head_dim, Dtype::F32);
    let limits = if after > 0 { vec![8, 35, 107, 31, 70, 9] } else { vec![0, 33, 99, 31, 65, 9] };
    let batch = Batch {
        rows,
        ids: inputs.words(g, vec![0; 6]),
        positions: inputs.words(g, vec![0, 33, 99, 31, 65, 9]),
        slots: inputs.words(g, vec![0, 1, 2, NO_SLOT, 1, 0]),
        pages: inputs.words(g, (0..12).map(|i| (i * 7) % 11).collect()),
        last_token: inputs.words(g, vec![0; 3]),
        outputs: inputs.words(g, vec![0]),
        limits: inputs.words(g, limits),
        max_pages: 4,
    };
    let n_rows = 11 * n_kv_heads * PAGE;
    let (k, v) = (inputs.tensor(g, n_rows, head_dim, dtype), inputs.tensor(g, n_rows, head_dim, dtype));
    let bias = match n_heads {
        3 => Bias::Relative { table: inputs.tensor(g, 1, 3 * 15, Dtype::F32), reach: 7 },
        6 => Bias::Alibi,
        _ => Bias::None,
    };
    let pattern = match n_heads {
        8 => Pattern::Strided { stride: 13 },
        2 => Pattern::Fixed { stride: 30, summary: 3 },
        _ => Pattern::Dense,
    };
    let p =
        Attention { n_heads, n_kv_heads, head_dim, window, after, soft_cap, bias, pattern, max_context: 128 };
    (q, batch, Kv { k, v, dtype, n_kv_heads, head_dim }, p)
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add =
        |shape: [usize; 3], window: Option<u32>, soft_cap, dtype: Dtype, variant: (&'static str, u32)| {
            let [n_heads, n_kv_heads, head_dim] = shape;
            let name =
                format!("{n_heads}/{n_kv_heads}x{head_dim} {window:?} {soft_cap:?} {dtype:?} {}", variant.0);
            let sizes = Sizes { n_tokens: 5, n_outputs: 0, n_context: 108 };
            cases.push(Case::new(name, sizes, move |g, inputs| {
                let (q, batch, kv, p) = operands(g, inputs, shape, (window, soft_cap), dtype);
                record(g, q, &batch, &kv, &p, 128, variant).map(|_| ())
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
