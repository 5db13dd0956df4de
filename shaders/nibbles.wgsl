// Quants of 4, 5 and 6 bits, whose low 4 bits lie in one vec4<u32> per (row, block).
//
//   word w & 3, byte i, low nibble   element 4 w + i of the block, w: 0..4   (the low half)
//   word w & 3, byte i, high nibble  element 4 w + i of the block, w: 4..8   (the high half)
//   one more bit                     one word per (row, block): element 4 w + i at bit 8 i + w
//
// One mask leaves the four elements of a quad one per byte.
// The quants of quad `part: 0..8` of a block, one per byte.
fn nibbles_of(q: vec4<u32>, part: u32) -> u32 {
    return nibble_quad(q[part & 3u], part);
}

// The quants of quad `part: 0..8` of a block, one per byte. `word` is word `part & 3` of the block.
fn nibble_quad(word: u32, part: u32) -> u32 {
    return (word >> (part & 4u)) & 0x0F0F0F0Fu;
}

// The bits of quad `part: 0..8` of a block from its one-bit word, as bit 0 of each byte.
fn bit_quad(word: u32, part: u32) -> u32 {
    return (word >> part) & 0x01010101u;
}

// The one-bit word of a block as bit 4 of each byte of its first 16 elements.
fn fifth_bits_low(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) << vec4<u32>(4u, 3u, 2u, 1u)) & vec4<u32>(0x10101010u);
}

fn fifth_bits_high(h: u32) -> vec4<u32> {
    return (vec4<u32>(h) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(0x10101010u);
}

// The bits of quad `part: 0..8` alone.
fn fifth_bits(h: u32, part: u32) -> u32 {
    return select(fifth_bits_low(h), fifth_bits_high(h), part >= 4u)[part & 3u];
}
