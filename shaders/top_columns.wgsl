// The best K columns of each part of a row, the best first.
//
//   best[p, i] = the i-th largest of s[c], c in part p, the lower column first of equal ones
//   s[c] = x[c] scale[c]    column[p, i] = name[c]
//   where FIRST is set, name[c] = c; else scale[c] = 1
//
// x, scale, names: (n_columns)    best, column: (n_parts, K); -3.4e38 where a part has fewer columns
//
// One workgroup per part of PER_PART columns. Each round finds the best of what comes after the last
// one found, so nothing is sorted and nothing is marked. A second launch over the best of all parts
// gives the best of the row.
import package::config::{FIRST, K, PER_PART, WG_SIZE};
import package::lanes::{Lane, lane_index, workgroup_max};

struct Params {
    n_columns: u32,
}

const LOWEST: f32 = -3.4e38;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> names: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<f32>;
@group(0) @binding(4) var<storage, read_write> column: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn top_columns(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let first = workgroup.x * PER_PART;
    let end = min(first + PER_PART, params.n_columns);
    var last = 3.4e38;
    var last_column = -1;
    for (var i = 0u; i < K; i++) {
        var largest = LOWEST;
        var place = -1;
        for (var c = first + lane_index(lane); c < end; c += WG_SIZE) {
            var s = x[c];
            if FIRST {
                s *= scale[c];
            }
            let after = s < last || (s == last && i32(c) > last_column);
            if after && s > largest {
                largest = s;
                place = i32(c);
            }
        }
        let all = workgroup_max(largest, lane);
        // The lowest place as the largest negative number; places in a part are exact in f32.
        let is_best = place >= 0 && largest == all;
        let own = select(LOWEST, -f32(place - i32(first)), is_best);
        let winner = workgroup_max(own, lane);
        let found = winner > LOWEST;
        last = all;
        last_column = select(i32(end), i32(first) + i32(-winner), found);
        if lane_index(lane) == 0u {
            let at = workgroup.x * K + i;
            best[at] = select(LOWEST, all, found);
            if FIRST {
                column[at] = u32(last_column);
            } else {
                column[at] = names[min(u32(last_column), params.n_columns - 1u)];
            }
        }
    }
}
