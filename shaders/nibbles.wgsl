// Quants of 4, 5 and 6 bits, whose low 4 bits lie in one vec4<u32> per (row, block).
//
//   word w & 3, byte i, low nibble   element 4 w + i of the block, w: 0..4   (the low half)
//   word w & 3, byte i, high nibble  element 4 w + i of the block, w: 4..8   (the high half)
//   one more bit                     one word per (row, block): element 4 w + i at bit 8 i + w
//
// One mask leaves the four elements of a quad one per byte.
import package::block::Block;
import package::bytes::{bytes_unsigned, dot_bytes_low, dot_bytes_high};

fn low_nibbles(q: vec4<u32>) -> vec4<u32> {
    return q & vec4<u32>(0x0F0F0F0Fu);
}

fn high_nibbles(q: vec4<u32>) -> vec4<u32> {
    return (q >> vec4<u32>(4u)) & vec4<u32>(0x0F0F0F0Fu);
}

// The one-bit word of a block as bit 4 of each byte of its low half.
fn fifth_bits_low(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) << vec4<u32>(4u, 3u, 2u, 1u)) & vec4<u32>(0x10101010u);
}

fn fifth_bits_high(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(0x10101010u);
}

// sum_e q[e] * x[e], 4-bit q.
fn dot_nibbles(q: vec4<u32>, x: Block) -> f32 {
    return dot_bytes_low(low_nibbles(q), x) + dot_bytes_high(high_nibbles(q), x);
}

// sum_e q[e] * x[e], 5-bit q; `h` holds the fifth bits.
fn dot_nibbles_and_bit(q: vec4<u32>, h: u32, x: Block) -> f32 {
    return dot_bytes_low(low_nibbles(q) | fifth_bits_low(h), x)
        + dot_bytes_high(high_nibbles(q) | fifth_bits_high(h), x);
}

// The quants of quad `part: 0..8` of a block, one per byte. `word` is word `part & 3` of the block.
fn nibble_quad(word: u32, part: u32) -> u32 {
    return (word >> (part & 4u)) & 0x0F0F0F0Fu;
}

// The bits of quad `part: 0..8` of a block from its one-bit word, as bit 0 of each byte.
fn bit_quad(word: u32, part: u32) -> u32 {
    return (word >> part) & 0x01010101u;
}
