// A chain of dot products of 4 bytes, to measure whether a device is fast at them. Part of no model.
//
//   x = a . x + b, N_ROUNDS times, eight independent chains of four in each lane        x: 4 bytes
//
// y: (n_lanes) of vec4<u32>
import package::config::{N_ROUNDS, WG_SIZE};

struct Params {
    a: u32,
    b: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<u32>>;

fn next(x: vec4<u32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(vec4<i32>(
        dot4I8Packed(x.x, params.a),
        dot4I8Packed(x.y, params.a),
        dot4I8Packed(x.z, params.a),
        dot4I8Packed(x.w, params.a),
    )) + params.b;
}

@compute @workgroup_size(WG_SIZE)
fn peak_dot(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = workgroup.x * WG_SIZE + lane;
    var x0 = vec4<u32>(at) * vec4<u32>(1u, 3u, 5u, 7u);
    var x1 = x0 + 1u;
    var x2 = x0 + 2u;
    var x3 = x0 + 3u;
    var x4 = x0 + 4u;
    var x5 = x0 + 5u;
    var x6 = x0 + 6u;
    var x7 = x0 + 7u;
    for (var i = 0u; i < N_ROUNDS; i++) {
        x0 = next(x0);
        x1 = next(x1);
        x2 = next(x2);
        x3 = next(x3);
        x4 = next(x4);
        x5 = next(x5);
        x6 = next(x6);
        x7 = next(x7);
    }
    y[at] = ((x0 ^ x1) ^ (x2 ^ x3)) ^ ((x4 ^ x5) ^ (x6 ^ x7));
}
