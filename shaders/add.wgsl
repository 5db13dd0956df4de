// Adds one tensor to another.
//
//   y[t, c] += x[t, c]        x, y: (n_tokens, n_channels)
//
// One workgroup per token; lanes take quads in turn.
import package::config::WG_SIZE;

struct Params {
    n_quads: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn add(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x * params.n_quads;
    for (var c = lane; c < params.n_quads; c += WG_SIZE) {
        y[row + c] += x[row + c];
    }
}
