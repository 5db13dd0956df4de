// Four bytes of a word as numbers, and the dot products of 16 of them with half a block.
//
//   dot_bytes_low(q, x)  = sum_e byte_e(q) * x[e]         e: 0..16, byte e in word e / 4, below 128
//   dot_bytes_high(q, x) = sum_e byte_e(q) * x[16 + e]
//
// The bytes are masked where they stand, so byte i counts 256^i times; x comes divided by that
// (`scaled_for_bytes`, once for all rows). Powers of two change no digit.
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

// The block as the dot products of this file take it.
fn scaled_for_bytes(x: Block) -> Block {
    let s = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 0.000000059604644775390625);
    return Block(
        x.v0 * s, x.v1 * s, x.v2 * s, x.v3 * s, x.v4 * s, x.v5 * s, x.v6 * s, x.v7 * s, x.sum_low, x.sum_high
    );
}

fn dot_bytes_low(q: vec4<u32>, x: Block) -> f32 {
    return dot(bytes_in_place(q.x), x.v0) + dot(bytes_in_place(q.y), x.v1)
        + dot(bytes_in_place(q.z), x.v2) + dot(bytes_in_place(q.w), x.v3);
}

fn dot_bytes_high(q: vec4<u32>, x: Block) -> f32 {
    return dot(bytes_in_place(q.x), x.v4) + dot(bytes_in_place(q.y), x.v5)
        + dot(bytes_in_place(q.z), x.v6) + dot(bytes_in_place(q.w), x.v7);
}
