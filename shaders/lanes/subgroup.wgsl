// Plays `lanes` on GPUs with subgroups: sums inside each subgroup, then over the subgroups.
import package::config::WG_SIZE;

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) n_subgroups: u32,
    @builtin(subgroup_invocation_id) index_in_subgroup: u32,
}

var<workgroup> lane_partials: array<f32, WG_SIZE>;

// The lane's place in the workgroup.
fn lane_index(lane: Lane) -> u32 {
    return lane.index;
}

// The sum over the workgroup, returned to every lane. All lanes must call it.
fn workgroup_sum(value: f32, lane: Lane) -> f32 {
    let sum = subgroupAdd(value);
    if lane.index_in_subgroup == 0u {
        lane_partials[lane.subgroup] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var s = 0u; s < lane.n_subgroups; s++) {
        total += lane_partials[s];
    }
    workgroupBarrier();
    return total;
}

fn workgroup_max(value: f32, lane: Lane) -> f32 {
    let largest = subgroupMax(value);
    if lane.index_in_subgroup == 0u {
        lane_partials[lane.subgroup] = largest;
    }
    workgroupBarrier();
    var result = lane_partials[0];
    for (var s = 1u; s < lane.n_subgroups; s++) {
        result = max(result, lane_partials[s]);
    }
    workgroupBarrier();
    return result;
}
