// Splits q, k and v, normalises q and k per head, rotates them, and stores k and v in the cache.
//
//   halves:      (x[i], x[i + d/2])    rotate by angle_i = position * freq_i, i in 0..d/2
//   neighbours:  (x[2i], x[2i + 1])    likewise, d = ROPE_DIM; dimensions from d on stay
//   q = q_scale * rotate(norm(q)), k = rotate(norm(k)), norm(x) = gain * x / rms(x) where QK_NORM
//
// qkv: (n_tokens, (n_heads + 2 n_kv_heads) * HEAD_DIM)    q: (n_tokens, n_heads * HEAD_DIM)
// turns: (256 + n, ROPE_DIM / 2) of (cos, sin): 256 rows of j * freq, then n rows of 256 j * freq. A quad
// is of two neighbouring angles.
// cos and sin of a sum of two angles are exact to f32, which the device's own need not be.
//
// One workgroup of 8 lanes per token and head of q, k or v; lanes take quads in turn.
// Source: Su et al. 2021, arXiv:2104.09864.
import package::config::{HEAD_DIM, NEIGHBOURS, QK_NORM, ROPE_DIM, WG_SIZE};
import package::kv_write::{store_key, store_value};
import package::lanes::{Lane, lane_index, workgroup_sum};

struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    max_pages: u32,
    eps: f32,
    q_scale: f32,
}

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> turns: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> q_gain: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> k_gain: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> q: array<vec4<f32>>;

const HALF: u32 = ROPE_DIM / 2u;

// (cos, sin) of the angles 2 i and 2 i + 1 at a position.
fn rotation(position: u32, i: u32) -> vec4<f32> {
    let a = turns[(256u + (position >> 8u)) * (ROPE_DIM / 4u) + i];
    let b = turns[(position & 255u) * (ROPE_DIM / 4u) + i];
    let cosines = a.xz * b.xz - a.yw * b.yw;
    let sines = a.yw * b.xz + a.xz * b.yw;
    return vec4<f32>(cosines.x, sines.x, cosines.y, sines.y);
}

// Quad `quad` of a head of q or k, normalised.
fn normed(row: u32, quad: u32, is_q: bool, scale: f32) -> vec4<f32> {
    let values = qkv[row + quad];
    if QK_NORM {
        return values * scale * select(k_gain[quad], q_gain[quad], is_q);
    }
    return values;
}

// Elements c, c + 1 of a head, likewise. c is even.
fn normed_pair(row: u32, c: u32, is_q: bool, scale: f32) -> vec2<f32> {
    let values = normed(row, c / 4u, is_q, scale);
    return select(values.xy, values.zw, (c & 2u) != 0u);
}

fn rotated(row: u32, quad: u32, is_q: bool, scale: f32, position: u32) -> vec4<f32> {
    let values = normed(row, quad, is_q, scale);
    let c = 4u * quad;
    if c >= ROPE_DIM {
        return values;
    }
    if NEIGHBOURS {
        let turn = rotation(position, quad);
        return values * turn.xxzz + vec4<f32>(-values.y, values.x, -values.w, values.z) * turn.yyww;
    }
    // The halves meet between quads, or in the middle of one.
    let second = vec2<bool>(c >= HALF, c + 2u >= HALF);
    let angles = vec2<u32>(c, c + 2u) - select(vec2<u32>(0u), vec2<u32>(HALF), second);
    let turn_1 = rotation(position, angles.x / 2u);
    let turn_2 = rotation(position, angles.y / 2u);
    let others = select(vec2<u32>(HALF), vec2<u32>(0u), second) + angles;
    var other: vec4<f32>;
    if HALF % 4u == 0u {
        other = normed(row, others.x / 4u, is_q, scale);
    } else {
        other = vec4<f32>(normed_pair(row, others.x, is_q, scale), normed_pair(row, others.y, is_q, scale));
    }
    let signed = select(-other, other, second.xxyy);
    return values * vec4<f32>(turn_1.xz, turn_2.xz) + signed * vec4<f32>(turn_1.yw, turn_2.yw);
}

@compute @workgroup_size(WG_SIZE)
fn rope_kv(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let token = workgroup.x;
    let head = workgroup.y;
    let n_all = params.n_heads + 2u * params.n_kv_heads;
    let row = (token * n_all + head) * (HEAD_DIM / 4u);
    let is_q = head < params.n_heads;
    let is_v = head >= params.n_heads + params.n_kv_heads;
    let position = positions[token];
    let slot = slots[token];
    let index = lane_index(lane);

    var squares = 0.0;
    if QK_NORM {
        for (var quad = index; quad < HEAD_DIM / 4u; quad += WG_SIZE) {
            let values = qkv[row + quad];
            squares += dot(values, values);
        }
        squares = workgroup_sum(squares, lane);
    }
    let scale = inverseSqrt(squares / f32(HEAD_DIM) + params.eps);

    // A token without a sequence (padding) stores nothing.
    let stored = slot != 0xFFFFFFFFu;
    let page = pages[select(0u, slot * params.max_pages + (position >> 5u), stored)];
    let in_page = position & 31u;
    // All lanes take part in each round, since storing may compare what they hold.
    for (var round = 0u; round * WG_SIZE < HEAD_DIM / 4u; round++) {
        let inside = round * WG_SIZE + index < HEAD_DIM / 4u;
        let quad = min(round * WG_SIZE + index, HEAD_DIM / 4u - 1u);
        if is_v {
            let kv_head = head - params.n_heads - params.n_kv_heads;
            let kv_row = (page * params.n_kv_heads + kv_head) * 32u + in_page;
            store_value(kv_row, quad, qkv[row + quad], stored && inside, lane);
        } else {
            let values = rotated(row, quad, is_q, scale, position);
            if is_q {
                if inside {
                    q[(token * params.n_heads + head) * (HEAD_DIM / 4u) + quad] = params.q_scale * values;
                }
            } else {
                let kv_row = (page * params.n_kv_heads + head - params.n_heads) * 32u + in_page;
                store_key(kv_row, quad, values, stored && inside, lane);
            }
        }
    }
}
