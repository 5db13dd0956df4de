// Plays `lanes`: a workgroup of 8 lanes that lie in one subgroup. No barriers, for software drivers.
struct Lane {
    @builtin(subgroup_invocation_id) index: u32,
}

// The lane's place in the workgroup.
fn lane_index(lane: Lane) -> u32 {
    return lane.index & 7u;
}

// The sum over the workgroup, returned to every lane. All lanes must call it.
fn workgroup_sum(value: f32, lane: Lane) -> f32 {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}

fn workgroup_max(value: f32, lane: Lane) -> f32 {
    var largest = value;
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    largest = max(largest, subgroupShuffleXor(largest, 4u));
    return largest;
}
