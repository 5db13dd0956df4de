//! Little-endian fields in blocks of a file and in planes of words, and the bit orders that the
//! packed formats share.
//!
//! Every bit order is by *quad*: block element `e = 4 w + i` (`w: 0..8`, `i: 0..4`) lies in byte `i`
//! of a word, so that one mask leaves the bits of a quad one per byte.
//!
//! ```text
//! nibbles    4 words per (row, block)   word w & 3     bits 8 i + 4 (w >> 2), 4 of them
//! two bits   2 words per (row, block)   word w >> 2    bits 8 i + 2 (w & 3), 2 of them
//! one bit    1 word  per (row, block)                  bit  8 i + w
//! ```

use half::f16;

/// The unit of 4 words that holds part `part` of a block, within a group of 4 rows:
/// `[tile of 8 blocks][row][part][block of the tile]`, the last tile as wide as there are blocks left.
/// The order is that of `shaders/band.wgsl`.
pub fn tile_unit(row: usize, block: usize, n_blocks: usize, part: usize, n_parts: usize) -> usize {
    let first = block & !7;
    let width = (n_blocks - first).min(8);
    4 * n_parts * first + (row * n_parts + part) * width + (block & 7)
}

/// The u16 at byte `at` of a block.
pub fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The u32 at byte `at` of a block.
pub fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The f16 at byte `at` of a block.
pub fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_bits(u16_at(block, at)).to_f32()
}

/// Writes an f16 at byte `at` of a block; returns what it stands for.
pub fn put_f16(block: &mut [u8], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value);
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// Half-word `index` of a zeroed plane.
pub fn put_half(plane: &mut [u32], index: usize, value: u16) {
    plane[index / 2] |= u32::from(value) << (16 * (index % 2));
}

/// Half-word `index` of a plane as an f16.
pub fn half(plane: &[u32], index: usize) -> f32 {
    f16::from_bits((plane[index / 2] >> (16 * (index % 2))) as u16).to_f32()
}

/// Byte `index` of a zeroed plane.
pub fn put_byte(plane: &mut [u32], index: usize, value: u8) {
    plane[index / 4] |= u32::from(value) << (8 * (index % 4));
}

/// Byte `index` of a plane.
pub fn byte(plane: &[u32], index: usize) -> u8 {
    (plane[index / 4] >> (8 * (index % 4))) as u8
}

/// Nibble of element `e: 0..32` in the four words of a (row, block).
pub fn nibble(words: &[u32], e: usize) -> u32 {
    (words[e % 16 / 4] >> (8 * (e % 4) + 4 * (e / 16))) & 0xF
}

/// Bit of element `e: 0..32` in the word of a (row, block).
pub fn one_bit(word: u32, e: usize) -> u32 {
    (word >> (8 * (e % 4) + e / 4)) & 1
}

/// Two bits of element `e: 0..16` of a half block in its word.
pub fn two_bits(word: u32, e: usize) -> u32 {
    (word >> (8 * (e % 4) + 2 * (e / 4))) & 3
}

/// The one-bit word of 32 bytes of the file, where element `e` is bit `bit` of byte `e`.
pub fn gather_one_bit(bytes: &[u8], bit: usize) -> u32 {
    (0..8).fold(0, |word, w| word | (((u32_at(bytes, 4 * w) >> bit) & 0x0101_0101) << w))
}

/// The two-bit word of 16 bytes of the file, where element `e` is bits `bit`, `bit + 1` of byte `e`.
pub fn gather_two_bits(bytes: &[u8], bit: usize) -> u32 {
    (0..4).fold(0, |word, w| word | (((u32_at(bytes, 4 * w) >> bit) & 0x0303_0303) << (2 * w)))
}

/// The one-bit word of a bit set, where element `e` is bit `e`.
pub fn spread_one_bit(set: u32) -> u32 {
    // The product puts bit i of a nibble at bit 8 i (among others, which the mask removes).
    (0..8).fold(0, |word, w| word | (((((set >> (4 * w)) & 0xF) * 0x0020_4081) & 0x0101_0101) << w))
}

/// The nibble words of 32 bytes of the file, where element `e` is the low (`bit` 0) or high (`bit` 4)
/// nibble of byte `e`.
pub fn gather_nibbles(bytes: &[u8], bit: usize) -> [u32; 4] {
    std::array::from_fn(|w| {
        let low = (u32_at(bytes, 4 * w) >> bit) & 0x0F0F_0F0F;
        let high = (u32_at(bytes, 16 + 4 * w) >> bit) & 0x0F0F_0F0F;
        low | (high << 4)
    })
}

/// The blocks of 4 rows of the file as `(row, block index, bytes)`; nothing for a row that is absent.
pub fn each_block(rows: [&[u8]; 4], block_bytes: usize) -> impl Iterator<Item = (usize, usize, &[u8])> {
    rows.into_iter().enumerate().flat_map(move |(row, bytes)| {
        bytes.chunks_exact(block_bytes).enumerate().map(move |(index, block)| (row, index, block))
    })
}

/// The planes of one group, by name. Callers own the table that says how many there are.
pub fn planes_of<'a, 'p, const N: usize>(planes: &'a [&'p [u32]]) -> &'a [&'p [u32]; N] {
    planes.try_into().expect("a format is given as many planes as its table lists")
}

/// As [`planes_of`], to write.
pub fn planes_of_mut<'a, 'p, const N: usize>(planes: &'a mut [&'p mut [u32]]) -> &'a mut [&'p mut [u32]; N] {
    planes.try_into().expect("a format is given as many planes as its table lists")
}
