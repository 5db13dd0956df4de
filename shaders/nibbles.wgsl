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

// The quants of word j (0..4) of two rows, two by two: that of the first row in the low half, of the second
// in the high half. Pair f is of element i of quad 4 (f & 1) + j, where i = 2 (f >> 2) + ((f >> 1) & 1).
fn nibble_pairs(a: u32, b: u32) -> array<u32, 8> {
    let low = (a & 0xFFFFu) | (b << 16u);
    let high = (a >> 16u) | (b & 0xFFFF0000u);
    const MASK: u32 = 0x000F000Fu;
    return array<u32, 8>(
        low & MASK,
        (low >> 4u) & MASK,
        (low >> 8u) & MASK,
        (low >> 12u) & MASK,
        high & MASK,
        (high >> 4u) & MASK,
        (high >> 8u) & MASK,
        (high >> 12u) & MASK,
    );
}

// The same with one more bit, from the one-bit words of both rows.
fn with_bit_pairs(q: array<u32, 8>, a: u32, b: u32, j: u32) -> array<u32, 8> {
    // Element i of quad w is bit 8 i + w: that of pair f is bit 4 (f & 3) + j of its half.
    let low = ((a & 0xFFFFu) | (b << 16u)) >> j;
    let high = ((a >> 16u) | (b & 0xFFFF0000u)) >> j;
    const MASK: u32 = 0x00100010u;
    return array<u32, 8>(
        q[0] | ((low << 4u) & MASK),
        q[1] | (low & MASK),
        q[2] | ((low >> 4u) & MASK),
        q[3] | ((low >> 8u) & MASK),
        q[4] | ((high << 4u) & MASK),
        q[5] | (high & MASK),
        q[6] | ((high >> 4u) & MASK),
        q[7] | ((high >> 8u) & MASK),
    );
}
