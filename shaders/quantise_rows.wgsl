// Activations as blocks of 32 signed bytes, for products of bytes.
//
//   d = max |x| / 127    q = round(x / d)        in each block; zeros past the end of a row
//
// x: (n_tokens, n_columns)    y: (n_tokens, n_blocks) of 3 vec4<u32>: 32 bytes; d, the sums of bytes 0..16
// and 16..32 as f32, 0
//
// Each lane makes one block; the blocks of a token lie along x.
import package::config::WG_SIZE;
import package::input::x_block;
import package::to_bytes::{byte_scale, size_bits, to_bytes};

struct Params {
    // Of x, in quads.
    n_quads: u32,
    n_blocks: u32,
}

// Stands before x, where products have their bias.
@group(0) @binding(0) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WG_SIZE)
fn quantise_rows(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = workgroup.x * WG_SIZE + lane;
    let token = workgroup.y;
    if block < params.n_blocks {
        var quads = x_block(token * params.n_quads, block, params.n_quads).v;
        var bits = vec4<u32>(0u);
        for (var i = 0u; i < 8u; i++) { // unroll
            quads[i] = select(quads[i], vec4<f32>(0.0), 8u * block + i >= params.n_quads);
            bits = max(bits, size_bits(quads[i]));
        }
        let scale = byte_scale(max(max(bits.x, bits.y), max(bits.z, bits.w)));
        var words: array<u32, 8>;
        var sums: array<vec4<i32>, 8>;
        for (var i = 0u; i < 8u; i++) { // unroll
            let q = to_bytes(quads[i], scale.y);
            words[i] = pack4xI8(q);
            sums[i] = q;
        }
        let low = sums[0] + sums[1] + sums[2] + sums[3];
        let high = sums[4] + sums[5] + sums[6] + sums[7];
        let about = vec4<f32>(
            scale.x,
            f32(low.x + low.y + low.z + low.w),
            f32(high.x + high.y + high.z + high.w),
            0.0,
        );
        let at = 3u * (token * params.n_blocks + block);
        y[at] = vec4<u32>(words[0], words[1], words[2], words[3]);
        y[at + 1u] = vec4<u32>(words[4], words[5], words[6], words[7]);
        y[at + 2u] = bitcast<vec4<u32>>(about);
    }
}
