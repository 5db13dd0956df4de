// The lowest logit of each row that may be drawn, after top-k, then top-p, then min-p.
//
//   top-k: the k-th largest logit; top-p: the largest l with mass(logits >= l) >= p * mass(logits left by
//   top-k); min-p: largest + log(min_p)
//
// x: (n_rows, n_columns)    y: (n_rows, 1), padded to a quad
//
// One workgroup per row. Logits are mapped to integers of the same order, and the threshold is found
// by narrowing a range of integers, four cuts at a time, each by one pass over the row: no sorting. A
// round takes 16 quads a lane, so that all passes stay within the 65,535 rounds of loops after which
// llvmpipe goes on without a word.
// Source: Fan et al. 2018, arXiv:1805.04833; Holtzman et al. 2020, arXiv:1904.09751;
// Nguyen et al. 2024, arXiv:2407.01082.
import package::config::WG_SIZE;
import package::lanes::{Lane, lane_index, workgroup_sum};
import package::row_softmax::{LOWEST, row_quad, row_max, exp_below_zero};
import package::slot_sampling::SlotSampling;

struct Params {
    n_columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> settings: array<SlotSampling>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

// Integers in the order of the numbers.
fn ordered(v: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(v);
    return select(bits | vec4<u32>(0x80000000u), ~bits, (bits >> vec4<u32>(31u)) == vec4<u32>(1u));
}

fn number(order: u32) -> f32 {
    return bitcast<f32>(select(~order, order & 0x7FFFFFFFu, (order >> 31u) == 1u));
}

// How many logits, or how much of the mass, lie at or above each of the cuts.
fn above(row: u32, n_quads: u32, cuts: vec4<u32>, largest: f32, by_mass: bool, floor_: u32, lane: Lane) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var first = lane_index(lane); first < n_quads; first += 16u * WG_SIZE) {
        for (var i = 0u; i < 16u; i++) { // unroll
            let value = row_quad(row, first + i * WG_SIZE);
            let order = ordered(value);
            var size = vec4<f32>(1.0);
            if by_mass {
                size = exp_below_zero(value - largest);
            }
            // Padding and what top-k has left out count nothing.
            size = select(vec4<f32>(0.0), size, (order >= vec4<u32>(floor_)) & (value > vec4<f32>(LOWEST)));
            sum += vec4<f32>(
                dot(select(vec4<f32>(0.0), size, order >= vec4<u32>(cuts.x)), vec4<f32>(1.0)),
                dot(select(vec4<f32>(0.0), size, order >= vec4<u32>(cuts.y)), vec4<f32>(1.0)),
                dot(select(vec4<f32>(0.0), size, order >= vec4<u32>(cuts.z)), vec4<f32>(1.0)),
                dot(select(vec4<f32>(0.0), size, order >= vec4<u32>(cuts.w)), vec4<f32>(1.0)),
            );
        }
    }
    return vec4<f32>(
        workgroup_sum(sum.x, lane),
        workgroup_sum(sum.y, lane),
        workgroup_sum(sum.z, lane),
        workgroup_sum(sum.w, lane),
    );
}

// The largest integer at or above which there is `wanted`; nothing below `floor_` counts.
fn narrow(row: u32, n_quads: u32, largest: f32, wanted: f32, by_mass: bool, floor_: u32, lane: Lane) -> u32 {
    var low = floor_;
    var high = ordered(vec4<f32>(largest)).x + 1u;
    // low .. high holds the answer; each pass leaves a fifth of it: 14 passes for 32 bits.
    for (var i = 0u; i < 14u; i++) {
        let fifth = (high - low + 4u) / 5u;
        let cuts = min(vec4<u32>(low) + fifth * vec4<u32>(1u, 2u, 3u, 4u), vec4<u32>(high));
        let enough = above(row, n_quads, cuts, largest, by_mass, floor_, lane) >= vec4<f32>(wanted);
        let old = high;
        high = select(old, cuts.w, !enough.w);
        high = select(high, cuts.z, !enough.z);
        high = select(high, cuts.y, !enough.y);
        high = select(high, cuts.x, !enough.x);
        low = select(low, cuts.x, enough.x);
        low = select(low, cuts.y, enough.y);
        low = select(low, cuts.z, enough.z);
        low = select(low, cuts.w, enough.w);
        high = max(high, low + 1u);
    }
    return low;
}

fn x_at(quad: u32) -> vec4<f32> {
    return x[quad];
}

@compute @workgroup_size(WG_SIZE)
fn sample_threshold(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let n_quads = (params.n_columns + 3u) / 4u;
    let row = workgroup.x * n_quads;
    let s = settings[slots[workgroup.x]];
    let largest = row_max(row, n_quads, lane);
    // The lowest number that is not padding.
    var floor_ = ordered(vec4<f32>(LOWEST)).x;
    if s.top_k > 0u && s.top_k < params.n_columns {
        floor_ = narrow(row, n_quads, largest, f32(s.top_k), false, floor_, lane);
    }
    if s.top_p < 1.0 {
        let all = above(row, n_quads, vec4<u32>(floor_), largest, true, floor_, lane).x;
        floor_ = narrow(row, n_quads, largest, s.top_p * all, true, floor_, lane);
    }
    var threshold = number(floor_);
    if s.min_p > 0.0 {
        threshold = max(threshold, largest + log(s.min_p));
    }
    if lane_index(lane) == 0u {
        y[workgroup.x] = vec4<f32>(min(threshold, largest), 0.0, 0.0, 0.0);
    }
}
