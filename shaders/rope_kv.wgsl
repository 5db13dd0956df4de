// Splits q, k and v, normalises q and k per head, rotates them, and stores k and v in the cache.
//
//   halves:      (x[i], x[i + d/2])    rotate by angle_i = position * freq_i, i in 0..d/2
//   neighbours:  (x[2i], x[2i + 1])    likewise, d = ROPE_DIM; dimensions from d on stay
//   q = q_scale * rotate(norm(q)), k = rotate(norm(k)), norm(x) = gain * x / rms(x) where QK_NORM
//
// qkv: (n_tokens, (n_heads + 2 n_kv_heads) * HEAD_DIM)    q: (n_tokens, n_heads * HEAD_DIM)
// turns: (256 + n, ROPE_DIM / 2) of (cos, sin): 256 rows of j * freq, then n rows of 256 j * freq.
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

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> q_gain: array<f32>;
@group(0) @binding(6) var<storage, read> k_gain: array<f32>;
@group(0) @binding(7) var<storage, read_write> q: array<vec4<f32>>;

fn rotation(position: u32, i: u32) -> vec2<f32> {
    let a = turns[(256u + (position >> 8u)) * (ROPE_DIM / 2u) + i];
    let b = turns[(position & 255u) * (ROPE_DIM / 2u) + i];
    return vec2<f32>(a.x * b.x - a.y * b.y, a.y * b.x + a.x * b.y);
}

// Element `c` of a head of q or k, normalised.
fn normed(row: u32, c: u32, is_q: bool, scale: f32) -> f32 {
    let value = qkv[row + c];
    if QK_NORM {
        return value * scale * select(k_gain[c], q_gain[c], is_q);
    }
    return value;
}

fn rotated(row: u32, c: u32, is_q: bool, scale: f32, position: u32) -> f32 {
    let value = normed(row, c, is_q, scale);
    if c >= ROPE_DIM {
        return value;
    }
    if NEIGHBOURS {
        let turn = rotation(position, c >> 1u);
        let other = normed(row, c ^ 1u, is_q, scale);
        return value * turn.x + select(-other, other, (c & 1u) == 1u) * turn.y;
    }
    let half = ROPE_DIM / 2u;
    let second = c >= half;
    let turn = rotation(position, select(c, c - half, second));
    let other = normed(row, select(c + half, c - half, second), is_q, scale);
    return value * turn.x + select(-other, other, second) * turn.y;
}

@compute @workgroup_size(WG_SIZE)
fn rope_kv(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let token = workgroup.x;
    let head = workgroup.y;
    let n_all = params.n_heads + 2u * params.n_kv_heads;
    let row = (token * n_all + head) * HEAD_DIM;
    let is_q = head < params.n_heads;
    let is_v = head >= params.n_heads + params.n_kv_heads;
    let position = positions[token];
    let slot = slots[token];
    let index = lane_index(lane);

    var squares = 0.0;
    if QK_NORM {
        for (var c = index; c < HEAD_DIM; c += WG_SIZE) {
            squares += qkv[row + c] * qkv[row + c];
        }
        squares = workgroup_sum(squares, lane);
    }
    let scale = inverseSqrt(squares / f32(HEAD_DIM) + params.eps);

    // A token without a sequence (padding) stores nothing.
    let stored = slot != 0xFFFFFFFFu;
    let page = pages[select(0u, slot * params.max_pages + (position >> 5u), stored)];
    // All lanes take part in each round, since storing may compare what they hold.
    for (var round = 0u; round * WG_SIZE < HEAD_DIM / 4u; round++) {
        let quad = round * WG_SIZE + index;
        let inside = quad < HEAD_DIM / 4u;
        let c = 4u * min(quad, HEAD_DIM / 4u - 1u);
        if is_v {
            let v = vec4<f32>(qkv[row + c], qkv[row + c + 1u], qkv[row + c + 2u], qkv[row + c + 3u]);
            let kv_head = head - params.n_heads - params.n_kv_heads;
            let kv_row = (page * params.n_kv_heads + kv_head) * 32u + (position & 31u);
            store_value(kv_row, quad, v, stored && inside, lane);
        } else {
            let v = vec4<f32>(
                rotated(row, c, is_q, scale, position),
                rotated(row, c + 1u, is_q, scale, position),
                rotated(row, c + 2u, is_q, scale, position),
                rotated(row, c + 3u, is_q, scale, position),
            );
            if is_q {
                if inside {
                    q[(token * params.n_heads + head) * (HEAD_DIM / 4u) + quad] = params.q_scale * v;
                }
            } else {
                let kv_row = (page * params.n_kv_heads + head - params.n_heads) * 32u + (position & 31u);
                store_key(kv_row, quad, v, stored && inside, lane);
            }
        }
    }
}
