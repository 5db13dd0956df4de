// Attention of prompts on GPUs: many queries share each tile of keys and values.
//
//   y[t, h] = sum_p softmax_p(s[p]) v[p, g(h)]      s, p, g and the biases as in attention.wgsl
//
// q: (n_tokens, n_heads * HEAD_DIM), scaled already    y: the same shape
// keys, values: [page][kv head][position in page, 32][HEAD_DIM]
//
// A workgroup takes 4 * ROW_LANES queries: HEADS heads of one kv head of TOKENS tokens. It goes through
// the pages that these tokens see; pages that a mask or a window hides from all of them are skipped.
// Tokens of other sequences have other pages, so runs of tokens of one sequence are worked on in turn.
//
// Lane (column, row) makes 4 queries x 4 positions of the scores, then 4 queries x one quad of every
// 32 dimensions of the result. Queries, keys and values pass through workgroup memory 32 dimensions at
// a time, 15 KiB in all with 32 queries. The softmax is rescaled once per page.
// Source: Dao 2023, arXiv:2307.08691.
import package::config::{ALIBI, CHUNKS, GROUP, HEADS, HEAD_DIM, KV_LOADS, RELATIVE, ROW_LANES, SOFT_CAP, TOKENS};
import package::config::WG_SIZE;
import package::fade::{NO_SCORE, weight_of};
import package::kv_read::{load_key, load_value};
import package::mask::{next_group, visible};
import package::real::{real4, to_real4};

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

const HEAD_QUADS: u32 = HEAD_DIM / 4u;
// Of 8 quads and one of padding.
const PITCH: u32 = 9u;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> biases: array<f32>;
@group(0) @binding(5) var<storage, read> limits: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<real4>;

// Query 4 r + j at row j * ROW_LANES + r, so that lanes beside each other read from different banks.
var<workgroup> q_part: array<vec4<f32>, 4u * ROW_LANES * PITCH>;
var<workgroup> kv_part: array<vec4<f32>, 32u * PITCH>;
// [position][row] of the weights of 4 queries.
var<workgroup> weights: array<vec4<f32>, 32u * (ROW_LANES + 1u)>;
// [column][row] of something of 4 queries.
var<workgroup> row_parts: array<vec4<f32>, 8u * ROW_LANES>;

// The positions begin .. end that a token sees, as far as its window and its limit go.
fn range_of(token: u32) -> vec2<u32> {
    let next = positions[token] + 1u;
    let begin = select(next - params.window, 0u, next < params.window);
    return vec2<u32>(begin, min(limits[token], positions[token] + params.after) + 1u);
}

// The first page from p on in which one of the tokens may see a position.
fn next_page(p: u32, first_token: u32, end_token: u32) -> u32 {
    var next = 0xFFFFFFFFu;
    for (var token = first_token; token < end_token; token++) {
        next = min(next, next_group(p, positions[token]));
    }
    return next & 0xFFFFFFE0u;
}

@compute @workgroup_size(WG_SIZE)
fn attention_tile(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = lane & 7u;
    let row = lane >> 3u;
    let first_token = workgroup.x * TOKENS;
    let end_token = min(first_token + TOKENS, params.n_tokens);
    let first_head = workgroup.y * HEADS;
    let kv_head = first_head / GROUP;

    // This lane's queries.
    var token_of: array<u32, 4>;
    var range: array<vec2<u32>, 4>;
    for (var j = 0u; j < 4u; j++) { // unroll
        // Queries past the last token stand for none.
        let query = 4u * row + j;
        let token = first_token + query / HEADS;
        token_of[j] = select(0xFFFFFFFFu, token, query < TOKENS * HEADS && token < end_token);
        range[j] = range_of(min(token, params.n_tokens - 1u));
    }
    var largest = vec4<f32>(NO_SCORE);
    var total = vec4<f32>(0.0);
    var out: array<vec4<f32>, 4u * CHUNKS>;
    for (var i = 0u; i < 4u * CHUNKS; i++) { // unroll
        out[i] = vec4<f32>(0.0);
    }

    var run = first_token;
    while run < end_token {
        // Tokens run .. run_end are of one sequence, and see positions seen.x .. seen.y between them.
        let slot = slots[run];
        var run_end = run;
        var bounds = vec2<u32>(0xFFFFFFFFu, 0u);
        while run_end < end_token && slots[run_end] == slot {
            let own = range_of(run_end);
            bounds = vec2<u32>(min(bounds.x, own.x), max(bounds.y, own.y));
            run_end++;
        }
        bounds.y = select(bounds.y, 0u, slot == 0xFFFFFFFFu);

        let first = next_page(bounds.x & 0xFFFFFFE0u, run, run_end);
        for (var p = first; p < bounds.y; p = next_page(p + 32u, run, run_end)) {
            let first_row = (pages[slot * params.max_pages + (p >> 5u)] * params.n_kv_heads + kv_head) * 32u;

            var scores: array<vec4<f32>, 4>;
            for (var j = 0u; j < 4u; j++) { // unroll
                scores[j] = vec4<f32>(0.0);
            }
            for (var chunk = 0u; chunk < CHUNKS; chunk++) {
                workgroupBarrier();
                for (var i = 0u; i < 4u; i++) { // unroll
                    let at = lane + i * WG_SIZE;
                    let query = at / 8u;
                    let quad = 8u * chunk + at % 8u;
                    let token = min(first_token + query / HEADS, end_token - 1u);
                    let head = first_head + query % HEADS;
                    let x = q[(token * params.n_heads + head) * HEAD_QUADS + min(quad, HEAD_QUADS - 1u)];
                    // Dimensions past the last are zeros, which add nothing.
                    q_part[((query & 3u) * ROW_LANES + (query >> 2u)) * PITCH + at % 8u] =
                        select(x, vec4<f32>(0.0), quad >= HEAD_QUADS);
                }
                for (var i = 0u; i < KV_LOADS; i++) { // unroll
                    let at = lane + i * WG_SIZE;
                    let quad = min(8u * chunk + at % 8u, HEAD_QUADS - 1u);
                    kv_part[at / 8u * PITCH + at % 8u] = load_key(first_row + at / 8u, quad);
                }
                workgroupBarrier();
                for (var quad = 0u; quad < 8u; quad++) {
                    let k0 = kv_part[column * PITCH + quad];
                    let k1 = kv_part[(column + 8u) * PITCH + quad];
                    let k2 = kv_part[(column + 16u) * PITCH + quad];
                    let k3 = kv_part[(column + 24u) * PITCH + quad];
                    for (var j = 0u; j < 4u; j++) { // unroll
                        let x = q_part[(j * ROW_LANES + row) * PITCH + quad];
                        scores[j] += vec4<f32>(dot(x, k0), dot(x, k1), dot(x, k2), dot(x, k3));
                    }
                }
            }

            let position = vec4<u32>(p + column) + vec4<u32>(0u, 8u, 16u, 24u);
            var seen: array<vec4<bool>, 4>;
            var page_max: array<f32, 4>;
            for (var j = 0u; j < 4u; j++) { // unroll
                let head = first_head + (4u * row + j) % HEADS;
                let own_position = positions[min(token_of[j], params.n_tokens - 1u)];
                var s = scores[j];
                if SOFT_CAP {
                    s = params.soft_cap * tanh(clamp(s / params.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
                }
                if ALIBI {
                    // The query's own position would add the same to all scores.
                    s += biases[head] * vec4<f32>(position);
                }
                if RELATIVE {
                    let reach = i32(params.reach);
                    let ahead = vec4<i32>(position) - vec4<i32>(i32(own_position));
                    let column = vec4<u32>(clamp(ahead, vec4<i32>(-reach), vec4<i32>(reach)) + vec4<i32>(reach));
                    let row = head * (2u * params.reach + 1u);
                    s += vec4<f32>(
                        biases[row + column.x],
                        biases[row + column.y],
                        biases[row + column.z],
                        biases[row + column.w],
                    );
                }
                seen[j] = (position >= vec4<u32>(range[j].x)) & (position < vec4<u32>(range[j].y))
                    & visible(position, own_position)
                    & vec4<bool>(token_of[j] >= run && token_of[j] < run_end);
                s = select(vec4<f32>(NO_SCORE), s, seen[j]);
                scores[j] = s;
                page_max[j] = max(max(s.x, s.y), max(s.z, s.w));
            }
            row_parts[column * ROW_LANES + row] = vec4<f32>(page_max[0], page_max[1], page_max[2], page_max[3]);
            workgroupBarrier();
            var larger = largest;
            for (var i = 0u; i < 8u; i++) { // unroll
                larger = max(larger, row_parts[i * ROW_LANES + row]);
            }
            let fade = weight_of(largest - larger);
            largest = larger;
            for (var j = 0u; j < 4u; j++) { // unroll
                let w = select(vec4<f32>(0.0), weight_of(scores[j] - larger[j]), seen[j]);
                scores[j] = w;
                total[j] = total[j] * fade[j] + dot(w, vec4<f32>(1.0));
                for (var c = 0u; c < CHUNKS; c++) { // unroll
                    out[c * 4u + j] *= fade[j];
                }
            }
            for (var i = 0u; i < 4u; i++) { // unroll
                weights[(column + i * 8u) * (ROW_LANES + 1u) + row] =
                    vec4<f32>(scores[0][i], scores[1][i], scores[2][i], scores[3][i]);
            }

            for (var c = 0u; c < CHUNKS; c++) { // unroll
                workgroupBarrier();
                for (var i = 0u; i < KV_LOADS; i++) { // unroll
                    let at = lane + i * WG_SIZE;
                    let at_position = p + at / 8u;
                    let v = load_value(first_row + at / 8u, min(8u * c + at % 8u, HEAD_QUADS - 1u));
                    // What lies past the sequence's end may be anything, also no number.
                    let real = at_position >= bounds.x && at_position < bounds.y;
                    kv_part[at / 8u * PITCH + at % 8u] = select(vec4<f32>(0.0), v, real);
                }
                workgroupBarrier();
                for (var i = 0u; i < 32u; i++) {
                    let w = weights[i * (ROW_LANES + 1u) + row];
                    let v = kv_part[i * PITCH + column];
                    for (var j = 0u; j < 4u; j++) { // unroll
                        out[c * 4u + j] += w[j] * v;
                    }
                }
            }
        }
        run = run_end;
    }

    workgroupBarrier();
    row_parts[column * ROW_LANES + row] = total;
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < 8u; i++) { // unroll
        sum += row_parts[i * ROW_LANES + row];
    }
    for (var j = 0u; j < 4u; j++) { // unroll
        if token_of[j] < params.n_tokens {
            let head = first_head + (4u * row + j) % HEADS;
            for (var c = 0u; c < CHUNKS; c++) { // unroll
                let quad = 8u * c + column;
                if quad < HEAD_QUADS {
                    let result = select(out[c * 4u + j] / sum[j], vec4<f32>(0.0), sum[j] == 0.0);
                    y[(token_of[j] * params.n_heads + head) * HEAD_QUADS + quad] = to_real4(result);
                }
            }
        }
    }
}
