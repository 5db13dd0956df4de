// Activations as blocks of 32 signed bytes behind an f32 scale, for products of bytes.
//
//   d = max |x| / 127    q = round(x / d)        in each block; zeros past the end of a row
//
// x: (n_tokens, n_columns)    y: (n_tokens, n_blocks) of 9 words: d, then 32 bytes
//
// Each lane makes one block; the blocks of a token lie along x.
import package::activations::x_at;
import package::config::WG_SIZE;

struct Params {
    // Of x, in quads.
    n_quads: u32,
    n_blocks: u32,
}

// Stands before x, where products have their bias.
@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn quantise_rows(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = workgroup.x * WG_SIZE + lane;
    let token = workgroup.y;
    if block < params.n_blocks {
        var quads: array<vec4<f32>, 8>;
        var largest = vec4<f32>(0.0);
        for (var i = 0u; i < 8u; i++) { // unroll
            let quad = 8u * block + i;
            let v = x_at(token * params.n_quads + min(quad, params.n_quads - 1u));
            quads[i] = select(v, vec4<f32>(0.0), quad >= params.n_quads);
            largest = max(largest, abs(quads[i]));
        }
        let scale = max(max(largest.x, largest.y), max(largest.z, largest.w)) / 127.0;
        let inverse = select(0.0, 1.0 / scale, scale > 0.0);
        let at = 9u * (token * params.n_blocks + block);
        y[at] = bitcast<u32>(scale);
        for (var i = 0u; i < 8u; i++) { // unroll
            let q = clamp(round(quads[i] * inverse), vec4<f32>(-127.0), vec4<f32>(127.0));
            y[at + 1u + i] = pack4xI8(vec4<i32>(q));
        }
    }
}
