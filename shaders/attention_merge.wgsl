// Merges the spans of attention_split.wgsl, in order.
//
//   m' = max(m, m_i)    l' = l exp(m - m') + l_i exp(m_i - m')    o' = o exp(m - m') + o_i exp(m_i - m')
//   y[t, h] = o / l     over the spans i that the token sees, where they are more than one
//
// partials: (n_tokens, n_heads, n_spans) of a quad (m, l, 0, 0) and HEAD_DIM / 4 quads of o
// y: (n_tokens, n_heads * HEAD_DIM)
//
// Each lane makes one quad of y; the workgroups of a token lie along x.
// Source: Milakov & Gimelshein 2018, arXiv:1805.02867, section 3.1.
import package::config::{HEAD_DIM, WG_SIZE};
import package::fade::{NO_SCORE, weight_of};
import package::real::{real4, to_real4};

struct Params {
    n_tokens: u32,
    n_heads: u32,
    n_spans: u32,
    // As in attention_split.wgsl.
    window: u32,
    after: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> limits: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<real4>;

@compute @workgroup_size(WG_SIZE)
fn attention_merge(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = workgroup.x * WG_SIZE + lane;
    let token = workgroup.y;
    let next = positions[token] + 1u;
    let first = select(next - params.window, 0u, next < params.window);
    let end = min(limits[token], positions[token] + params.after) + 1u;
    let whole = end <= (first & 0xFFFFFF00u) + 256u;
    if own < params.n_heads * (HEAD_DIM / 4u) && !whole && slots[token] != 0xFFFFFFFFu {
        let row = token * params.n_heads + own / (HEAD_DIM / 4u);
        let quad = own % (HEAD_DIM / 4u);
        var m = NO_SCORE;
        var l = 0.0;
        var o = vec4<f32>(0.0);
        for (var span = first >> 8u; span * 256u < end; span++) {
            let at = (row * params.n_spans + span) * (HEAD_DIM / 4u + 1u);
            let part = partials[at];
            let largest = max(m, part.x);
            let old = weight_of(vec4<f32>(m - largest)).x;
            let new_weight = weight_of(vec4<f32>(part.x - largest)).x;
            m = largest;
            l = l * old + part.y * new_weight;
            o = o * old + partials[at + 1u + quad] * new_weight;
        }
        y[token * params.n_heads * (HEAD_DIM / 4u) + own] = to_real4(o / l);
    }
}
