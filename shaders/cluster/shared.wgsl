// Plays `cluster` where a device has no subgroups of 8 lanes or more: 8 neighbouring lanes, which
// exchange values through workgroup memory. Every function has barriers: all lanes of the
// workgroup must call it.
import package::config::WG_SIZE;

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

var<workgroup> cluster_values: array<vec4<f32>, WG_SIZE>;

// The lane's place in its cluster, 0..8.
fn lane_of(lane: Lane) -> u32 {
    return lane.index & 7u;
}

// The cluster's place in its workgroup.
fn cluster_of(lane: Lane) -> u32 {
    return lane.index >> 3u;
}

// The sum over the cluster, returned to each of its lanes. All lanes must call it.
fn cluster_sum(value: f32, lane: Lane) -> f32 {
    return cluster_sum4(vec4<f32>(value), lane).x;
}

fn cluster_sum4(value: vec4<f32>, lane: Lane) -> vec4<f32> {
    workgroupBarrier();
    cluster_values[lane.index] = value;
    workgroupBarrier();
    let first = lane.index & 0xFFFFFFF8u;
    // The order of the shuffles, so that both give the same sums.
    let a = (cluster_values[first] + cluster_values[first + 1u])
        + (cluster_values[first + 2u] + cluster_values[first + 3u]);
    let b = (cluster_values[first + 4u] + cluster_values[first + 5u])
        + (cluster_values[first + 6u] + cluster_values[first + 7u]);
    return a + b;
}

// A step of summing two values at once: lanes without the bit `mask` get a + a of the lane across the
// bit, the others b + b. All lanes must call it.
fn cluster_pair4(a: vec4<f32>, b: vec4<f32>, mask: u32, lane: Lane) -> vec4<f32> {
    let is_b = (lane_of(lane) & mask) != 0u;
    workgroupBarrier();
    cluster_values[lane.index] = select(b, a, is_b);
    workgroupBarrier();
    return select(a, b, is_b) + cluster_values[lane.index ^ mask];
}

fn cluster_max(value: f32, lane: Lane) -> f32 {
    workgroupBarrier();
    cluster_values[lane.index].x = value;
    workgroupBarrier();
    let first = lane.index & 0xFFFFFFF8u;
    var largest = value;
    for (var i = 0u; i < 8u; i++) {
        largest = max(largest, cluster_values[first + i].x);
    }
    return largest;
}

// The sums over the cluster of 8 values per lane; lane k gets that of value k.
fn cluster_sums8(a: vec4<f32>, b: vec4<f32>, lane: Lane) -> f32 {
    let low = cluster_sum4(a, lane);
    let high = cluster_sum4(b, lane);
    let four = select(low, high, (lane.index & 4u) != 0u);
    let two = select(four.xy, four.zw, (lane.index & 2u) != 0u);
    return select(two.x, two.y, (lane.index & 1u) != 0u);
}

// The value of lane `k` of the cluster. All lanes must call it, with the same k.
fn cluster_get(value: f32, k: u32, lane: Lane) -> f32 {
    workgroupBarrier();
    cluster_values[lane.index].x = value;
    workgroupBarrier();
    return cluster_values[(lane.index & 0xFFFFFFF8u) + k].x;
}
