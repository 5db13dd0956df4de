// Layer normalisation of each row.
//
//   y[t, c] = gain[c] * (x[t, c] - mean_t) / sqrt(var_t + eps) + bias[c]
//
// x, y: (n_tokens, n_channels)    gain, bias: (n_channels)
//
// One workgroup per token; lanes take quads in turn. The variance is summed around the mean.
// Source: Ba et al. 2016, arXiv:1607.06450, eq. 4.
import package::config::{HAS_BIAS, WG_SIZE};
import package::lanes::{Lane, lane_index, workgroup_sum};
import package::real::{real4, to_real4};

struct Params {
    n_quads: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<real4>;

@compute @workgroup_size(WG_SIZE)
fn layer_norm(@builtin(workgroup_id) workgroup: vec3<u32>, lane: Lane) {
    let row = workgroup.x * params.n_quads;
    let first = lane_index(lane);
    let n = f32(4u * params.n_quads);
    var sum = 0.0;
    for (var c = first; c < params.n_quads; c += WG_SIZE) {
        sum += dot(x[row + c], vec4<f32>(1.0));
    }
    let mean = workgroup_sum(sum, lane) / n;
    var squares = 0.0;
    for (var c = first; c < params.n_quads; c += WG_SIZE) {
        let value = x[row + c] - mean;
        squares += dot(value, value);
    }
    let scale = inverseSqrt(workgroup_sum(squares, lane) / n + params.eps);
    for (var c = first; c < params.n_quads; c += WG_SIZE) {
        var value = gain[c] * ((x[row + c] - mean) * scale);
        if HAS_BIAS {
            value += bias[c];
        }
        y[row + c] = to_real4(value);
    }
}
