// Plays `attend`: lanes share out the dimensions of a head, and exchange parts of the scores of 4 positions
// at a time. The kernel gives `query`, quads of q.
import package::cluster::{Lane, cluster_sum4};
import package::config::{ALIBI, GROUP, HEADS, HEAD_DIM, QUADS, RELATIVE, SOFT_CAP};
import package::fade::{NO_SCORE, weight_of};
import package::kv_read::{load_key, load_value};
import package::mask::{next_group, visible};
import package::spans::{span_max, span_out, span_sum};

// The lanes' parts of the scores of positions p .. p + 4 become weights, the same in all lanes. Returns by
// how much the weights before them count less. All lanes must call it.
fn weigh(
    scores: ptr<function, array<vec4<f32>, HEADS>>,
    first_head: u32,
    p: u32,
    own_position: u32,
    seen: vec4<bool>,
    lane: Lane,
) -> array<f32, HEADS> {
    let position = vec4<u32>(p) + vec4<u32>(0u, 1u, 2u, 3u);
    var fades: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        var s = cluster_sum4((*scores)[h], lane);
        if SOFT_CAP {
            s = params.soft_cap * tanh(clamp(s / params.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
        }
        if ALIBI {
            // The query's own position would add the same to all scores.
            s += biases[first_head + h] * vec4<f32>(position);
        }
        if RELATIVE {
            let reach = i32(params.reach);
            let ahead = vec4<i32>(position) - vec4<i32>(i32(own_position));
            let column = vec4<u32>(clamp(ahead, vec4<i32>(-reach), vec4<i32>(reach)) + vec4<i32>(reach));
            let row = (first_head + h) * (2u * params.reach + 1u);
            s += vec4<f32>(
                biases[row + column.x],
                biases[row + column.y],
                biases[row + column.z],
                biases[row + column.w],
            );
        }
        s = select(vec4<f32>(NO_SCORE), s, seen);
        let largest = max(span_max[h], max(max(s.x, s.y), max(s.z, s.w)));
        let w = select(vec4<f32>(0.0), weight_of(s - largest), seen);
        fades[h] = weight_of(vec4<f32>(span_max[h] - largest)).x;
        span_max[h] = largest;
        span_sum[h] = span_sum[h] * fades[h] + dot(w, vec4<f32>(1.0));
        (*scores)[h] = w;
    }
    return fades;
}

// Adds the positions from_position .. end, which lie in one span, to a fresh span.
fn attend_span(
    token: u32,
    slot: u32,
    first_head: u32,
    from_position: u32,
    end: u32,
    index: u32,
    lane: Lane,
) {
    let kv_head = first_head / GROUP;
    let last = HEAD_DIM / 4u - 1u;
    var own: array<vec4<f32>, HEADS * QUADS>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        for (var i = 0u; i < QUADS; i++) { // unroll
            let quad = index + 8u * i;
            let at = (token * params.n_heads + first_head + h) * (HEAD_DIM / 4u) + min(quad, last);
            // Lanes past the last quad hold zeros, which add nothing.
            own[h * QUADS + i] = select(query(at), vec4<f32>(0.0), quad > last);
            span_out[h * QUADS + i] = vec4<f32>(0.0);
        }
    }
    let own_position = positions[token];
    for (var h = 0u; h < HEADS; h++) { // unroll
        span_max[h] = NO_SCORE;
        span_sum[h] = 0.0;
    }
    // Groups of 4 positions, page by page; those in which a sparse pattern sees none are skipped.
    var next = next_group(from_position & 0xFFFFFFFCu, own_position);
    for (var start = next; start < end; start = next) {
        let page = pages[slot * params.max_pages + (start >> 5u)];
        let first_row = (page * params.n_kv_heads + kv_head) * 32u;
        for (var p = start; p < min(end, (start | 31u) + 1u); p = next) {
            next = next_group(p + 4u, own_position);
            let position = vec4<u32>(p) + vec4<u32>(0u, 1u, 2u, 3u);
            // What lies past the sequence's end may be anything, also no number: its last position instead.
            let row = vec4<u32>(first_row) + (min(position, vec4<u32>(end - 1u)) & vec4<u32>(31u));
            let seen = (position >= vec4<u32>(from_position)) & (position < vec4<u32>(end))
                & visible(position, own_position);

            var scores: array<vec4<f32>, HEADS>;
            for (var h = 0u; h < HEADS; h++) { // unroll
                scores[h] = vec4<f32>(0.0);
            }
            for (var i = 0u; i < QUADS; i++) { // unroll
                let quad = min(index + 8u * i, last);
                let k0 = load_key(row.x, quad);
                let k1 = load_key(row.y, quad);
                let k2 = load_key(row.z, quad);
                let k3 = load_key(row.w, quad);
                for (var h = 0u; h < HEADS; h++) { // unroll
                    let x = own[h * QUADS + i];
                    scores[h] += vec4<f32>(dot(x, k0), dot(x, k1), dot(x, k2), dot(x, k3));
                }
            }
            let fades = weigh(&scores, first_head, p, own_position, seen, lane);
            for (var h = 0u; h < HEADS; h++) { // unroll
                for (var i = 0u; i < QUADS; i++) { // unroll
                    span_out[h * QUADS + i] *= fades[h];
                }
            }
            for (var i = 0u; i < QUADS; i++) { // unroll
                let quad = min(index + 8u * i, last);
                let v0 = load_value(row.x, quad);
                let v1 = load_value(row.y, quad);
                let v2 = load_value(row.z, quad);
                let v3 = load_value(row.w, quad);
                for (var h = 0u; h < HEADS; h++) { // unroll
                    let w = scores[h];
                    span_out[h * QUADS + i] += (w.x * v0 + w.y * v1) + (w.z * v2 + w.w * v3);
                }
            }
        }
    }
}
