// Two bits per quant: one word per half block (16 elements) and row.
//
//   element 4 w + i of the half block at bits 8 i + 2 w, 8 i + 2 w + 1
//
// The words of 4 rows are one vec4<u32>, indexed by 2 * (group * n_blocks + block) + half.

// The two bits as bits 0, 1 of each byte.
fn two_bits_at_0(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(0x03030303u);
}

// The two bits as bits 4, 5 of each byte.
fn two_bits_at_4(h: u32) -> vec4<u32> {
    return vec4<u32>(h << 4u, h << 2u, h, h >> 2u) & vec4<u32>(0x30303030u);
}

// The bits of quad `part: 0..8` of a block, from the word of its half, as bits 0, 1 of each byte.
fn two_bit_quad(word: u32, part: u32) -> u32 {
    return (word >> (2u * (part & 3u))) & 0x03030303u;
}
