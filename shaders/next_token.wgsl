// Chooses the best of all parts of a row, and passes it on to the next step.
//
//   tokens[t] = column of the largest best[t, p], the lowest p of equal ones
//   last_token[slot] = tokens[t]; recent[slot][position % RECENT] = tokens[t]
//
// best, best_column: (n_rows, n_parts)    tokens, slots, positions: (n_rows)
// recent: (n_slots, RECENT + 1), whose last number is the length of the sequence.
//
// One workgroup per row; lanes take parts in turn.
import package::config::{RECENT, WG_SIZE};
import package::lanes::{Lane, lane_index, workgroup_max};

struct Params {
    n_parts: u32,
    pitch: u32,
}

@group(0) @binding(0) var<storage, read> best: array<f32>;
@group(0) @binding(1) var<storage, read> best_column: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> last_token: array<u32>;
@group(0) @binding(6) var<storage, read_write> recent: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn next_token(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let row = workgroup.x * params.pitch;
    var largest = -3.4e38;
    var part = 0u;
    for (var p = lane_index(lane); p < params.n_parts; p += WG_SIZE) {
        if best[row + p] > largest {
            largest = best[row + p];
            part = p;
        }
    }
    let all = workgroup_max(largest, lane);
    let winner = -workgroup_max(select(-3.4e38, -f32(part), largest == all), lane);
    if lane_index(lane) == 0u {
        let token = best_column[row + u32(min(winner, f32(params.n_parts - 1u)))];
        let slot = slots[workgroup.x];
        let position = positions[workgroup.x];
        tokens[workgroup.x] = token;
        last_token[slot] = token;
        recent[slot * (RECENT + 1u) + position % RECENT] = token;
        recent[slot * (RECENT + 1u) + RECENT] = position + 1u;
    }
}
