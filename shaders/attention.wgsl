// Fused attention over the paged cache; the scores are never stored.
//
//   y[t, h] = sum_p softmax_p(s[p]) v[p, g(h)]      s[p] = cap(q[t, h] . k[p, g(h)]) + bias[h, p]
//   p in first .. end where the mask sees it, positions of the token's slot
//   g(h) = h / (heads per kv head)
//   first = position(t) + 1 - window, end = min(limit(t), position(t) + after) + 1
//   bias[h, p] = biases[h] p where ALIBI, biases[h, clamp(p - position(t), -reach, reach) + reach]
//   where RELATIVE
//
// q: (n_tokens, n_heads * HEAD_DIM), scaled already    y: the same shape
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]
//
// A cluster of 8 lanes serves one token and HEADS query heads of one kv head, so that keys and
// values are read once for all of them; the files of `attend` say how lanes share that out. Positions
// are worked through in spans of 256, each with its own running softmax, which are then merged in
// order: so a span may also be another workgroup's, with the same result (attention_split.wgsl,
// attention_merge.wgsl).
// Source: Dao et al. 2022, arXiv:2205.14135; Milakov & Gimelshein 2018, arXiv:1805.02867.
import package::attend::attend_span;
import package::cluster::{Lane, lane_of, cluster_of};
import package::config::{CLUSTERS, HEADS, HEAD_DIM, QUADS, WG_SIZE};
import package::real::{real4, to_real4};
import package::spans::{spans_begin, spans_merge, total_out, total_sum};

struct Params {
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    max_pages: u32,
    // Positions that a token sees, itself included.
    window: u32,
    soft_cap: f32,
    // Positions after its own that a token sees.
    after: u32,
    // Positions ahead and behind that have a bias of their own.
    reach: u32,
    // Of sparse patterns; see the files of `mask`.
    stride: u32,
    summary: u32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> biases: array<f32>;
@group(0) @binding(5) var<storage, read> limits: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<real4>;

fn query(quad: u32) -> vec4<f32> {
    return q[quad];
}

@compute @workgroup_size(WG_SIZE)
fn attention(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let wanted = workgroup.x * CLUSTERS + cluster_of(lane);
    let token = min(wanted, params.n_tokens - 1u);
    let first_head = workgroup.y * HEADS;
    let slot = slots[token];
    let stored = slot != 0xFFFFFFFFu;
    let next = positions[token] + 1u;
    let end = select(0u, min(limits[token], positions[token] + params.after) + 1u, stored);
    let first = select(next - params.window, 0u, next < params.window);

    spans_begin();
    for (var span = first >> 8u; span * 256u < end; span++) {
        let from_position = max(first, span * 256u);
        attend_span(token, slot, first_head, from_position, min(end, span * 256u + 256u), index, lane);
        spans_merge();
    }
    if wanted < params.n_tokens {
        for (var h = 0u; h < HEADS; h++) {
            for (var i = 0u; i < QUADS; i++) {
                let quad = index + 8u * i;
                if quad < HEAD_DIM / 4u {
                    let at = (token * params.n_heads + first_head + h) * (HEAD_DIM / 4u) + quad;
                    y[at] = to_real4(select(total_out[h * QUADS + i] / total_sum[h], vec4<f32>(0.0), !stored));
                }
            }
        }
    }
}
