// A chain of multiply-adds, to measure the best arithmetic of a device. Part of no model.
//
//   x = a x + b, N_ROUNDS times, eight independent chains of four in each lane
//
// y: (n_lanes) of vec4<f32>
import package::config::{N_ROUNDS, WG_SIZE};

struct Params {
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG_SIZE)
fn peak_fma(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup.x * WG_SIZE + lane;
    var x0 = vec4<f32>(f32(at));
    var x1 = x0 + 1.0;
    var x2 = x0 + 2.0;
    var x3 = x0 + 3.0;
    var x4 = x0 + 4.0;
    var x5 = x0 + 5.0;
    var x6 = x0 + 6.0;
    var x7 = x0 + 7.0;
    for (var i = 0u; i < N_ROUNDS; i++) {
        x0 = x0 * params.a + params.b;
        x1 = x1 * params.a + params.b;
        x2 = x2 * params.a + params.b;
        x3 = x3 * params.a + params.b;
        x4 = x4 * params.a + params.b;
        x5 = x5 * params.a + params.b;
        x6 = x6 * params.a + params.b;
        x7 = x7 * params.a + params.b;
    }
    y[at] = ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7));
}
