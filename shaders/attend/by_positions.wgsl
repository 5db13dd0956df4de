// Plays `attend`: each of the 8 lanes makes the scores of one position, for which it reads the whole key;
// for the values, lanes share out the dimensions of a head by octets, and each gets the weights of all
// positions. So nothing is added up between lanes but once per span. HEAD_DIM is a multiple of 8. The kernel
// gives `query`, quads of q.
//
// LANE_OCTETS: of a head's values, held by a lane
import package::cluster::{Lane, cluster_get, cluster_get4, cluster_max, cluster_sum};
import package::config::{ALIBI, GROUP, HEADS, HEAD_DIM, LANE_OCTETS, QUADS, RELATIVE, SOFT_CAP};
import package::fade::{NO_SCORE, weight_of};
import package::kv_read::{KvOctet, key_octet, octet_floats, value_octet};
import package::mask::{next_group, visible};
import package::spans::{span_max, span_out, span_sum};

// Adds the positions from_position .. end, which lie in one span, to a fresh span. All lanes must call it.
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
    // Every lane needs all of the queries: each reads some quads, and they are passed round. From lanes that a
    // compiler knows it would pass them round for each position anew.
    let known_later = select(0u, 8u, token >= params.n_tokens);
    var own: array<vec4<f32>, HEADS * QUADS * 8u>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        for (var i = 0u; i < QUADS; i++) { // unroll
            let quad = index + 8u * i;
            let at = (token * params.n_heads + first_head + h) * (HEAD_DIM / 4u) + min(quad, last);
            // What is past the last quad adds nothing.
            let part = select(query(at), vec4<f32>(0.0), quad > last);
            for (var k = 0u; k < 8u; k++) { // unroll
                own[(h * QUADS + i) * 8u + k] = cluster_get4(part, k + known_later, lane);
            }
        }
    }
    var sums: array<f32, HEADS>;
    var largest: array<f32, HEADS>;
    // Octets of the dimensions: quads 2 i and 2 i + 1 are of octet index + 8 i.
    var out: array<vec4<f32>, HEADS * LANE_OCTETS * 2u>;
    for (var h = 0u; h < HEADS; h++) { // unroll
        sums[h] = 0.0;
        largest[h] = NO_SCORE;
    }
    for (var i = 0u; i < HEADS * LANE_OCTETS * 2u; i++) { // unroll
        out[i] = vec4<f32>(0.0);
    }
    let own_position = positions[token];
    // Groups of 8 positions, page by page; those in which a sparse pattern sees none are skipped.
    var next = next_group(from_position, own_position) & 0xFFFFFFF8u;
    for (var start = next; start < end; start = next) {
        let page = pages[slot * params.max_pages + (start >> 5u)];
        let first_row = (page * params.n_kv_heads + kv_head) * 32u;
        for (var p = start; p < min(end, (start | 31u) + 1u); p = next) {
            next = next_group(p + 8u, own_position) & 0xFFFFFFF8u;
            let position = p + index;
            // What lies past the sequence's end may be anything, also no number: its last position instead.
            let row = first_row + (min(position, end - 1u) & 31u);
            let seen = position >= from_position && position < end
                && visible(vec4<u32>(position), own_position).x;

            var scores: array<f32, HEADS>;
            for (var h = 0u; h < HEADS; h++) { // unroll
                scores[h] = 0.0;
            }
            // Loads of 4 octets go before the work on them, so that they run ahead of it.
            for (var i = 0u; i < QUADS; i++) { // unroll
                var keys: array<KvOctet, 4>;
                for (var j = 0u; j < 4u; j++) { // unroll
                    keys[j] = key_octet(row, min(4u * i + j, HEAD_DIM / 8u - 1u));
                }
                for (var j = 0u; j < 4u; j++) { // unroll
                    let key = octet_floats(keys[j]);
                    for (var h = 0u; h < HEADS; h++) { // unroll
                        let quad = (h * QUADS + i) * 8u + 2u * j;
                        scores[h] += dot(own[quad], key[0]) + dot(own[quad + 1u], key[1]);
                    }
                }
            }
            for (var h = 0u; h < HEADS; h++) { // unroll
                var s = scores[h];
                if SOFT_CAP {
                    s = params.soft_cap * tanh(clamp(s / params.soft_cap, -15.0, 15.0));
                }
                if ALIBI {
                    // The query's own position would add the same to all scores.
                    s += biases[first_head + h] * f32(position);
                }
                if RELATIVE {
                    let reach = i32(params.reach);
                    let column = clamp(i32(position) - i32(own_position), -reach, reach) + reach;
                    s += biases[(first_head + h) * (2u * params.reach + 1u) + u32(column)];
                }
                s = select(NO_SCORE, s, seen);
                let now_largest = max(largest[h], cluster_max(s, lane));
                let fade = weight_of(vec4<f32>(largest[h] - now_largest)).x;
                scores[h] = select(0.0, weight_of(vec4<f32>(s - now_largest)).x, seen);
                sums[h] = sums[h] * fade + scores[h];
                largest[h] = now_largest;
                for (var i = 0u; i < LANE_OCTETS * 2u; i++) { // unroll
                    out[h * LANE_OCTETS * 2u + i] *= fade;
                }
            }
            for (var i = 0u; i < LANE_OCTETS * 2u; i++) { // unroll
                const first = 4u * (i % 2u);
                let octet = min(index + 8u * (i / 2u), HEAD_DIM / 8u - 1u);
                var values: array<KvOctet, 4>;
                for (var k = 0u; k < 4u; k++) { // unroll
                    values[k] = value_octet(first_row + (min(p + first + k, end - 1u) & 31u), octet);
                }
                for (var k = 0u; k < 4u; k++) { // unroll
                    let value = octet_floats(values[k]);
                    for (var h = 0u; h < HEADS; h++) { // unroll
                        let w = cluster_get(scores[h], first + k, lane);
                        const at = (h * LANE_OCTETS + i / 2u) * 2u;
                        out[at] += w * value[0];
                        out[at + 1u] += w * value[1];
                    }
                }
            }
        }
    }
    for (var h = 0u; h < HEADS; h++) { // unroll
        span_max[h] = largest[h];
        span_sum[h] = cluster_sum(sums[h], lane);
        // Lane l holds octets l + 8 i and wants quads l + 8 i.
        for (var i = 0u; i < QUADS; i++) { // unroll
            let from_lane = 4u * (i & 1u) + index / 2u;
            let even = cluster_get4(out[(h * LANE_OCTETS + i / 2u) * 2u], from_lane, lane);
            let odd = cluster_get4(out[(h * LANE_OCTETS + i / 2u) * 2u + 1u], from_lane, lane);
            span_out[h * QUADS + i] = select(even, odd, (index & 1u) != 0u);
        }
    }
}
