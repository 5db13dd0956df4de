// Plays `cluster`: 8 lanes of one subgroup, which exchange values by shuffles. No barriers.
// Right on every subgroup size that is a multiple of 8.
struct Lane {
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) index_in_subgroup: u32,
}

// The lane's place in its cluster, 0..8.
fn lane_of(lane: Lane) -> u32 {
    return lane.index_in_subgroup & 7u;
}

// The cluster's place in its workgroup.
fn cluster_of(lane: Lane) -> u32 {
    return lane.subgroup * (lane.subgroup_size >> 3u) + (lane.index_in_subgroup >> 3u);
}

// The sum over the cluster, returned to each of its lanes. All lanes must call it.
fn cluster_sum(value: f32, lane: Lane) -> f32 {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}

fn cluster_sum4(value: vec4<f32>, lane: Lane) -> vec4<f32> {
    var sum = value;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    sum += subgroupShuffleXor(sum, 4u);
    return sum;
}

// A step of summing two values at once: lanes without the bit `mask` get a + a of the lane across the
// bit, the others b + b. All lanes must call it.
fn cluster_pair4(a: vec4<f32>, b: vec4<f32>, mask: u32, lane: Lane) -> vec4<f32> {
    let is_b = (lane_of(lane) & mask) != 0u;
    return select(a, b, is_b) + subgroupShuffleXor(select(b, a, is_b), mask);
}

fn cluster_pair2(a: vec2<f32>, b: vec2<f32>, mask: u32, lane: Lane) -> vec2<f32> {
    let is_b = (lane_of(lane) & mask) != 0u;
    return select(a, b, is_b) + subgroupShuffleXor(select(b, a, is_b), mask);
}

// Transposes two values of two lanes: the b of lanes without the bit `mask` and the a of the lanes across
// the bit change places. All lanes must call it.
fn cluster_swap4(a: vec4<f32>, b: vec4<f32>, mask: u32, lane: Lane) -> array<vec4<f32>, 2> {
    let is_b = (lane_of(lane) & mask) != 0u;
    let other = subgroupShuffleXor(select(b, a, is_b), mask);
    return array<vec4<f32>, 2>(select(a, other, is_b), select(other, b, is_b));
}

fn cluster_max(value: f32, lane: Lane) -> f32 {
    var largest = value;
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    largest = max(largest, subgroupShuffleXor(largest, 4u));
    return largest;
}

// The sums over the cluster of 8 values per lane; lane k gets that of value k. 7 exchanges instead of
// 24: in each round a lane gives away the half of its values that others will finish.
fn cluster_sums8(a: vec4<f32>, b: vec4<f32>, lane: Lane) -> f32 {
    let index = lane.index_in_subgroup;
    let high = (index & 4u) != 0u;
    let four = select(a, b, high) + subgroupShuffleXor(select(b, a, high), 4u);
    let middle = (index & 2u) != 0u;
    let two = select(four.xy, four.zw, middle) + subgroupShuffleXor(select(four.zw, four.xy, middle), 2u);
    let odd = (index & 1u) != 0u;
    return select(two.x, two.y, odd) + subgroupShuffleXor(select(two.y, two.x, odd), 1u);
}

// The value of lane `k` of the cluster. All lanes must call it, with the same k.
fn cluster_get(value: f32, k: u32, lane: Lane) -> f32 {
    return subgroupShuffle(value, (lane.index_in_subgroup & 0xFFFFFFF8u) + k);
}

// Of lanes `k` of the cluster, which may differ between lanes.
fn cluster_get4(value: vec4<f32>, k: u32, lane: Lane) -> vec4<f32> {
    return subgroupShuffle(value, (lane.index_in_subgroup & 0xFFFFFFF8u) + k);
}
