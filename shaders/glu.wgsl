// The activation of a gated feed-forward layer whose two products lie apart.
//
//   y[t, c] = f(gate[t, c]) * up[t, c]        all (n_tokens, n_channels)
//
// One workgroup per token; lanes take quads in turn.
// Source: Shazeer 2020, arXiv:2002.05202.
import package::activation::activate;
import package::config::WG_SIZE;
import package::real::{real4, to_real4};

struct Params {
    n_quads: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<real4>;

@compute @workgroup_size(WG_SIZE)
fn glu(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x * params.n_quads;
    for (var c = lane; c < params.n_quads; c += WG_SIZE) {
        y[row + c] = to_real4(activate(gate[row + c]) * up[row + c]);
    }
}
