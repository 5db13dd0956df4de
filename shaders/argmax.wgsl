// The best column of each part of each row of logits, by a score.
//
//   best[t, p] = max_c score(x[t, c])    best_column[t, p] = the lowest c that has it, c in part p
//
// x: (n_rows, n_columns)    best, best_column: (n_rows, n_parts)
//
// One workgroup per row and part of PER_WORKGROUP quads; lanes take quads in turn. The score is the
// logit itself, or a logit with noise, which draws from the softmax (see shaders/score/sampled.wgsl).
import package::config::{PER_WORKGROUP, WG_SIZE};
import package::lanes::{Lane, lane_index, workgroup_max};
import package::score::{Scorer, scorer, score};

struct Params {
    n_columns: u32,
    // From one row of the results to the next.
    pitch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> best: array<f32>;
@group(0) @binding(2) var<storage, read_write> best_column: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn argmax(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let n_quads = (params.n_columns + 3u) / 4u;
    let row = workgroup.x * n_quads;
    let first = workgroup.y * PER_WORKGROUP;
    let end = min(first + PER_WORKGROUP, n_quads);
    let scores = scorer(workgroup.x);
    var largest = vec4<f32>(-3.4e38);
    var column = vec4<u32>(4u * first);
    for (var c = first + lane_index(lane); c < end; c += WG_SIZE) {
        let columns = vec4<u32>(4u * c) + vec4<u32>(0u, 1u, 2u, 3u);
        let value = score(scores, x[row + c], columns);
        let better = (value > largest) & (columns < vec4<u32>(params.n_columns));
        largest = select(largest, value, better);
        column = select(column, columns, better);
    }
    let own = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let all = workgroup_max(own, lane);
    // The lowest column as the largest negative number; columns are exact in f32 below 2^24.
    let candidates = select(vec4<f32>(-3.4e38), -vec4<f32>(column), largest == vec4<f32>(all));
    let lowest = max(max(candidates.x, candidates.y), max(candidates.z, candidates.w));
    let winner = -workgroup_max(lowest, lane);
    if lane_index(lane) == 0u {
        let at = workgroup.x * params.pitch + workgroup.y;
        best[at] = all;
        best_column[at] = u32(min(winner, f32(params.n_columns - 1u)));
    }
}
