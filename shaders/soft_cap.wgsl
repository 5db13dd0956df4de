// Keeps logits within a cap, in place.
//
//   x[t, c] = cap * tanh(x[t, c] / cap)        x: (n_rows, n_columns)
//
// One workgroup per row and PER_WORKGROUP quads; lanes take quads in turn.
// Source: Gemma 2 technical report, arXiv:2408.00118, section 2.
import package::config::{PER_WORKGROUP, WG_SIZE};

struct Params {
    n_quads: u32,
    cap: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn soft_cap(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x * params.n_quads;
    let first = workgroup.y * PER_WORKGROUP;
    let end = min(first + PER_WORKGROUP, params.n_quads);
    for (var c = first + lane; c < end; c += WG_SIZE) {
        // Beyond 15 tanh is 1 in f32, and some drivers overflow.
        let z = clamp(x[row + c] / params.cap, vec4<f32>(-15.0), vec4<f32>(15.0));
        x[row + c] = params.cap * tanh(z);
    }
}
