// Root-mean-square normalisation of each row.
//
//   y[t, c] = gain[c] * x[t, c] / sqrt(mean_c(x[t, c]^2) + eps)
//
// x, y: (n_tokens, n_channels)    gain: (n_channels)    y may be some columns of a wider tensor
//
// One workgroup per token; lanes take quads in turn. Sums in f32 whatever y is stored as.
// Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
import package::config::WG_SIZE;
import package::lanes::{Lane, lane_index, workgroup_sum};
import package::real::{real4, to_real4};

struct Params {
    n_quads: u32,
    eps: f32,
    // From one row of y to the next, and the first quad in it.
    y_pitch: u32,
    y_first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<real4>;

@compute @workgroup_size(WG_SIZE)
fn rms_norm(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let row = workgroup.x * params.n_quads;
    let out = workgroup.x * params.y_pitch + params.y_first;
    let first = lane_index(lane);
    var squares = 0.0;
    for (var c = first; c < params.n_quads; c += WG_SIZE) {
        let value = x[row + c];
        squares += dot(value, value);
    }
    let mean = workgroup_sum(squares, lane) / f32(4u * params.n_quads);
    let scale = inverseSqrt(mean + params.eps);
    for (var c = first; c < params.n_quads; c += WG_SIZE) {
        y[out + c] = to_real4(gain[c] * (x[row + c] * scale));
    }
}
