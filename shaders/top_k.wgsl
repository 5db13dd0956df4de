// The largest numbers of each part of each row, in falling order; of equal ones the lowest column first.
//
// x: (n_rows, n_columns)    values, columns: (n_rows, n_parts * K)
//
// A cluster of 8 lanes takes a part of 256 columns into its registers and picks K times what is largest.
// The columns are those of x or, where x was picked before, those that `names` gives. A part with fewer
// than K numbers ends in LOWEST at column 0.
import package::cluster::{Lane, lane_of, cluster_of, cluster_max};
import package::config::{CLUSTERS, HAS_NAMES, K, WG_SIZE};

const LOWEST: f32 = -3.4e38;

struct Params {
    n_columns: u32,
    // From one row of x to the next, and of the results, in elements.
    x_pitch: u32,
    pitch: u32,
    n_parts: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> names: array<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> columns: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn top_k(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let index = lane_of(lane);
    let part = workgroup.x * CLUSTERS + cluster_of(lane);
    let row = workgroup.y;
    let quads = (params.n_columns + 3u) / 4u;
    var v: array<vec4<f32>, 8>;
    // Columns as numbers, counted from the part's beginning: exact, and comparable by `cluster_max`.
    var c: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) { // unroll
        let quad = min(64u * part + index + 8u * i, quads - 1u);
        let first = 4u * (64u * part + index + 8u * i);
        c[i] = f32(4u * (index + 8u * i)) + vec4<f32>(0.0, 1.0, 2.0, 3.0);
        let inside = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n_columns);
        v[i] = select(vec4<f32>(LOWEST), x[row * (params.x_pitch / 4u) + quad], inside);
    }
    for (var r = 0u; r < K; r++) {
        var largest = v[0];
        for (var i = 0u; i < 8u; i++) { // unroll
            largest = max(largest, v[i]);
        }
        let all = cluster_max(max(max(largest.x, largest.y), max(largest.z, largest.w)), lane);
        // The lowest column that has it, as the largest negative number.
        var lowest = vec4<f32>(-256.0);
        for (var i = 0u; i < 8u; i++) { // unroll
            lowest = max(lowest, select(vec4<f32>(-256.0), -c[i], v[i] == vec4<f32>(all)));
        }
        let winner = -cluster_max(max(max(lowest.x, lowest.y), max(lowest.z, lowest.w)), lane);
        for (var i = 0u; i < 8u; i++) { // unroll
            v[i] = select(v[i], vec4<f32>(LOWEST), c[i] == vec4<f32>(winner));
        }
        if index == 0u && part < params.n_parts {
            let at = row * params.pitch + part * K + r;
            var column = min(256u * part + u32(winner), params.n_columns - 1u);
            if HAS_NAMES {
                column = names[row * params.x_pitch + column];
            }
            values[at] = all;
            columns[at] = select(column, 0u, all == LOWEST);
        }
    }
}
