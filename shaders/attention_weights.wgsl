// The weights of attention, written out: what the fused kernel never stores.
//
//   w[t, h, p] = exp(s[p] - max_p s) / sum_p exp(s[p] - max_p s)        s as in attention.wgsl
//   w[t, h, p] = 0 where the token does not see p
//
// q: (n_tokens, n_heads * HEAD_DIM), scaled already    w: (n_tokens, n_heads * n_positions)
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]
//
// One workgroup per token and head. Lanes take quads of positions in turn, each with whole dot
// products, and go over their own quads three times: scores, their sum, weights. It is for looking at
// a text, so it is plain rather than fast.
import package::config::{ALIBI, GROUP, HEAD_DIM, RELATIVE, SOFT_CAP, WG_SIZE};
import package::kv_read::load_key;
import package::lanes::{Lane, lane_index, workgroup_max, workgroup_sum};
import package::mask::visible;

struct Params {
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
    // A multiple of 4; positions from here on are left out.
    n_positions: u32,
}

const NO_SCORE: f32 = -1e30;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> biases: array<f32>;
@group(0) @binding(5) var<storage, read> limits: array<u32>;
@group(0) @binding(6) var<storage, read_write> w: array<vec4<f32>>;

// The scores of positions p .. p + 3.
fn scores_at(token: u32, head: u32, slot: u32, p: u32) -> vec4<f32> {
    let page = pages[slot * params.max_pages + (p >> 5u)];
    let row = (page * params.n_kv_heads + head / GROUP) * 32u + (p & 31u);
    let own = (token * params.n_heads + head) * (HEAD_DIM / 4u);
    var s = vec4<f32>(0.0);
    for (var i = 0u; i < HEAD_DIM / 4u; i++) {
        let x = q[own + i];
        s += vec4<f32>(
            dot(x, load_key(row, i)),
            dot(x, load_key(row + 1u, i)),
            dot(x, load_key(row + 2u, i)),
            dot(x, load_key(row + 3u, i)),
        );
    }
    let position = vec4<u32>(p) + vec4<u32>(0u, 1u, 2u, 3u);
    if SOFT_CAP {
        s = params.soft_cap * tanh(clamp(s / params.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
    }
    if ALIBI {
        s += biases[head] * vec4<f32>(position);
    }
    if RELATIVE {
        let reach = i32(params.reach);
        let ahead = vec4<i32>(position) - vec4<i32>(i32(positions[token]));
        let column = vec4<u32>(clamp(ahead, vec4<i32>(-reach), vec4<i32>(reach)) + vec4<i32>(reach));
        let first = head * (2u * params.reach + 1u);
        s += vec4<f32>(
            biases[first + column.x],
            biases[first + column.y],
            biases[first + column.z],
            biases[first + column.w],
        );
    }
    return s;
}

fn weight_of(x: vec4<f32>) -> vec4<f32> {
    return select(exp(max(x, vec4<f32>(-87.0))), vec4<f32>(0.0), x < vec4<f32>(-46.0));
}

@compute @workgroup_size(WG_SIZE)
fn attention_weights(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let token = workgroup.x;
    let head = workgroup.y;
    let slot = slots[token];
    let stored = slot != 0xFFFFFFFFu;
    let own_position = positions[token];
    let next = own_position + 1u;
    let end = select(0u, min(min(limits[token], own_position + params.after) + 1u, params.n_positions), stored);
    let first = select(next - params.window, 0u, next < params.window);
    let n_quads = params.n_positions / 4u;
    let row = (token * params.n_heads + head) * n_quads;

    var largest = NO_SCORE;
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        var s = vec4<f32>(NO_SCORE);
        if 4u * c < end && 4u * c + 3u >= first {
            let position = vec4<u32>(4u * c) + vec4<u32>(0u, 1u, 2u, 3u);
            let seen = (position >= vec4<u32>(first)) & (position < vec4<u32>(end))
                & visible(position, own_position);
            // What lies past the sequence's end may be anything, also no number.
            s = select(vec4<f32>(NO_SCORE), scores_at(token, head, slot, 4u * c), seen);
        }
        w[row + c] = s;
        largest = max(largest, max(max(s.x, s.y), max(s.z, s.w)));
    }
    largest = workgroup_max(largest, lane);
    var sum = 0.0;
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        let s = w[row + c];
        let e = select(vec4<f32>(0.0), weight_of(s - largest), s > vec4<f32>(NO_SCORE));
        w[row + c] = e;
        sum += dot(e, vec4<f32>(1.0));
    }
    sum = workgroup_sum(sum, lane);
    let scale = select(0.0, 1.0 / sum, sum > 0.0);
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        w[row + c] *= scale;
    }
}
