// Plays `lanes` where a device has no subgroups: a tree over workgroup memory.
import package::config::WG_SIZE;

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

var<workgroup> lane_partials: array<f32, WG_SIZE>;

// The lane's place in the workgroup.
fn lane_index(lane: Lane) -> u32 {
    return lane.index;
}

// The sum over the workgroup, returned to every lane. All lanes must call it.
fn workgroup_sum(value: f32, lane: Lane) -> f32 {
    lane_partials[lane.index] = value;
    workgroupBarrier();
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        if lane.index < half {
            lane_partials[lane.index] += lane_partials[lane.index + half];
        }
        workgroupBarrier();
    }
    let total = lane_partials[0];
    workgroupBarrier();
    return total;
}

fn workgroup_max(value: f32, lane: Lane) -> f32 {
    lane_partials[lane.index] = value;
    workgroupBarrier();
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        if lane.index < half {
            lane_partials[lane.index] = max(lane_partials[lane.index], lane_partials[lane.index + half]);
        }
        workgroupBarrier();
    }
    let largest = lane_partials[0];
    workgroupBarrier();
    return largest;
}
