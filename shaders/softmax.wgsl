// Softmax of each row.
//
//   y[t, c] = exp(x[t, c] - max_t) / sum_c exp(x[t, c] - max_t)        x, y: (n_rows, n_columns)
//
// One workgroup per row; lanes take quads in turn.
import package::config::WG_SIZE;
import package::lanes::{Lane, lane_index};
import package::row_softmax::{row_quad, row_max, row_sum_exp, exp_below_zero};

struct Params {
    n_columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

fn x_at(quad: u32) -> vec4<f32> {
    return x[quad];
}

@compute @workgroup_size(WG_SIZE)
fn softmax(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let n_quads = (params.n_columns + 3u) / 4u;
    let row = workgroup.x * n_quads;
    let largest = row_max(row, n_quads, lane);
    let scale = 1.0 / row_sum_exp(row, n_quads, largest, lane);
    for (var c = lane_index(lane); c < n_quads; c += WG_SIZE) {
        y[row + c] = scale * exp_below_zero(row_quad(row, c) - largest);
    }
}
