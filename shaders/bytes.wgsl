// Four bytes of a word as numbers.
//
// `bytes_in_place` masks the bytes, below 128, where they stand: byte i counts 256^i times. The
// activations come divided by that (`scaled_for_bytes`, once for all rows). Powers of two change no
// digit.
import package::block::Block;

fn bytes_unsigned(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(unpack4xU8(word)));
}

fn bytes_signed(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xI8(word));
}

fn bytes_in_place(word: u32) -> vec4<f32> {
    let masked = vec4<u32>(word) & vec4<u32>(0xFFu, 0xFF00u, 0xFF0000u, 0x7F000000u);
    return vec4<f32>(bitcast<vec4<i32>>(masked));
}

// The block as `bytes_in_place` multiplies it.
fn scaled_for_bytes(x: Block) -> Block {
    let s = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 0.000000059604644775390625);
    var b = x;
    for (var i = 0u; i < 8u; i++) { // unroll
        b.v[i] *= s;
    }
    return b;
}
