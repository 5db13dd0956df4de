// What neighbouring lanes write of their blocks of 32 activations, a quad each (see `graph::images`).
//
// Lane 0 of 8 gets the bytes of quads 0..4, lane 4 those of quads 4..8, lane 1 the scale and the sums of
// bytes 0..16 and 16..32. All lanes of a block must call it.
import package::to_bytes::{byte_scale, size_bits, to_bytes};

fn byte_texel(at: u32, v: vec4<f32>) -> vec4<u32> {
    let bits = size_bits(v);
    var largest = max(max(bits.x, bits.y), max(bits.z, bits.w));
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    largest = max(largest, subgroupShuffleXor(largest, 4u));
    let scale = byte_scale(largest);
    let q = to_bytes(v, scale.y);
    let word = pack4xI8(q);
    var sum = q.x + q.y + q.z + q.w;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    let other = subgroupShuffleXor(sum, 4u);
    let two = vec2<u32>(word, subgroupShuffleXor(word, 1u));
    let four = vec4<u32>(two, subgroupShuffleXor(two, 2u));
    let about = bitcast<vec4<u32>>(vec4<f32>(scale.x, f32(sum), f32(other), 0.0));
    return select(four, about, (at & 7u) == 1u);
}

// Whether quad `at` has a texel to write.
fn has_byte_texel(at: u32) -> bool {
    return (at & 3u) == 0u || (at & 7u) == 1u;
}

// The texel that quad `at` writes.
fn byte_texel_at(at: u32) -> u32 {
    return 3u * (at >> 3u) + select((at & 7u) >> 2u, 2u, (at & 7u) == 1u);
}
