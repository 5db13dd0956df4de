// Four bytes of a word as numbers, and the dot products of 16 of them with half a block.
//
//   dot_bytes_low(q, x)  = sum_e byte_e(q) * x[e]         e: 0..16, byte e in word e / 4
//   dot_bytes_high(q, x) = sum_e byte_e(q) * x[16 + e]
import package::block::Block;

fn bytes_unsigned(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(unpack4xU8(word)));
}

fn bytes_signed(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xI8(word));
}

fn dot_bytes_low(q: vec4<u32>, x: Block) -> f32 {
    return dot(bytes_unsigned(q.x), x.v0) + dot(bytes_unsigned(q.y), x.v1)
        + dot(bytes_unsigned(q.z), x.v2) + dot(bytes_unsigned(q.w), x.v3);
}

fn dot_bytes_high(q: vec4<u32>, x: Block) -> f32 {
    return dot(bytes_unsigned(q.x), x.v4) + dot(bytes_unsigned(q.y), x.v5)
        + dot(bytes_unsigned(q.z), x.v6) + dot(bytes_unsigned(q.w), x.v7);
}
