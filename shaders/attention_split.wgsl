// Attention of a few tokens over long sequences: spans of 256 positions are worked on side by side.
//
//   partials[t, h, span] = (m, l, o)      m = max_p s[p]    l = sum_p exp(s[p] - m)
//                                         o = sum_p exp(s[p] - m) v[p, g(h)]      p in the span
//
// The scores s and the names are those of attention.wgsl, and so is the work on a span: merged in
// order (attention_merge.wgsl), the spans give what one cluster would have made of all of them.
// Where all that a token sees lies in one span, this kernel writes y itself.
//
// q: (n_tokens, n_heads * HEAD_DIM), scaled already    y: the same shape
// partials: (n_tokens, n_heads, n_spans) of a quad (m, l, 0, 0) and HEAD_DIM / 4 quads of o
//
// A workgroup takes one token and one span. Its clusters of 8 lanes take HEADS query heads each;
// neighbours share their kv head, whose keys and values then come from the cache.
// Source: Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html.
import package::attend::attend_span;
import package::cluster::{Lane, lane_of, cluster_of};
import package::config::{CLUSTERS, HEADS, HEAD_DIM, QUADS, WG_SIZE};
import package::real::{real4, to_real4};
import package::spans::{spans_begin, spans_merge, span_max, span_out, span_sum, total_out, total_sum};

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
    // Of the longest sequence.
    n_spans: u32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> biases: array<f32>;
@group(0) @binding(5) var<storage, read> limits: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<real4>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

fn query(quad: u32) -> vec4<f32> {
    return q[quad];
}

@compute @workgroup_size(WG_SIZE)
fn attention_split(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let wanted = (workgroup.x * CLUSTERS + cluster_of(lane)) * HEADS;
    let first_head = min(wanted, params.n_heads - HEADS);
    let span = workgroup.y;
    let token = workgroup.z;
    let slot = slots[token];
    let stored = slot != 0xFFFFFFFFu;
    let next = positions[token] + 1u;
    let end = select(0u, min(limits[token], positions[token] + params.after) + 1u, stored);
    let first = select(next - params.window, 0u, next < params.window || !stored);
    let whole = end <= (first & 0xFFFFFF00u) + 256u;

    spans_begin();
    let from_position = max(first, span * 256u);
    let to_position = min(end, span * 256u + 256u);
    if from_position < to_position {
        attend_span(token, slot, first_head, from_position, to_position, index, lane);
        spans_merge();
    }
    if wanted < params.n_heads {
        for (var h = 0u; h < HEADS; h++) { // unroll
            let row = token * params.n_heads + first_head + h;
            let at = (row * params.n_spans + span) * (HEAD_DIM / 4u + 1u);
            if from_position < to_position && !whole && index == 0u {
                partials[at] = vec4<f32>(span_max[h], span_sum[h], 0.0, 0.0);
            }
            for (var i = 0u; i < QUADS; i++) { // unroll
                let quad = index + 8u * i;
                if quad < HEAD_DIM / 4u {
                    if whole && span == first >> 8u {
                        let o = total_out[h * QUADS + i] / total_sum[h];
                        y[row * (HEAD_DIM / 4u) + quad] = to_real4(select(o, vec4<f32>(0.0), !stored));
                    } else if from_position < to_position && !whole {
                        partials[at + 1u + quad] = span_out[h * QUADS + i];
                    }
                }
            }
        }
    }
}
