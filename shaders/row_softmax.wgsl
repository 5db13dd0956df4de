// The largest number of a row, and the sum of exp(x - largest), over the lanes of a workgroup.
//
// Columns from n_columns on are padding and count nothing. The kernel gives `x_at`.
import package::config::WG_SIZE;
import package::lanes::{Lane, lane_index, workgroup_max, workgroup_sum};

const LOWEST: f32 = -3.0e38;

// A quad of a row, its padding as the lowest number.
fn row_quad(row: u32, c: u32) -> vec4<f32> {
    let column = vec4<u32>(4u * c) + vec4<u32>(0u, 1u, 2u, 3u);
    let last = (params.n_columns - 1u) / 4u;
    return select(vec4<f32>(LOWEST), x_at(row + min(c, last)), column < vec4<u32>(params.n_columns));
}

fn row_max(row: u32, n_quads: u32, lane: Lane) -> f32 {
    var largest = vec4<f32>(LOWEST);
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        largest = max(largest, row_quad(row, c));
    }
    return workgroup_max(max(max(largest.x, largest.y), max(largest.z, largest.w)), lane);
}

// exp(x) for x <= 0; what is too small to matter is zero, not a denormal.
fn exp_below_zero(x: vec4<f32>) -> vec4<f32> {
    return select(exp(max(x, vec4<f32>(-87.0))), vec4<f32>(0.0), x < vec4<f32>(-87.0));
}

fn row_sum_exp(row: u32, n_quads: u32, largest: f32, lane: Lane) -> f32 {
    var sum = vec4<f32>(0.0);
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        sum += exp_below_zero(row_quad(row, c) - largest);
    }
    return workgroup_sum(dot(sum, vec4<f32>(1.0)), lane);
}
