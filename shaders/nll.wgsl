// The negative log-likelihood of one given column of each row of logits, in nats.
//
//   y[t] = log(sum_c exp(x[t, c])) - x[t, targets[t]]
//
// x: (n_rows, n_columns)    targets: (n_rows)    y: (n_rows, 1), padded to a quad
//
// One workgroup per row; lanes take quads in turn.
import package::config::WG_SIZE;
import package::lanes::{Lane, lane_index};
import package::row_softmax::{row_max, row_sum_exp};

struct Params {
    n_columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

fn x_at(quad: u32) -> vec4<f32> {
    return x[quad];
}

@compute @workgroup_size(WG_SIZE)
fn nll(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let n_quads = (params.n_columns + 3u) / 4u;
    let row = workgroup.x * n_quads;
    let largest = row_max(row, n_quads, lane);
    let sum = row_sum_exp(row, n_quads, largest, lane);
    if lane_index(lane) == 0u {
        let target_column = min(targets[workgroup.x], params.n_columns - 1u);
        let own = x_at(row + target_column / 4u)[target_column & 3u];
        y[workgroup.x] = vec4<f32>(log(sum) + (largest - own), 0.0, 0.0, 0.0);
    }
}
