// The rows that a product takes at once: of a group of 4, rows 0, 1 are pair 0 and rows 2, 3 pair 1.
//
//   pair_words(four, p)   of one word per row
//   pair_word(two, p)     of one word per pair
//   pair_bytes(four, p)   of words of one byte per row: the bytes of the pair are bytes 0, 1

fn pair_words(four: vec4<u32>, pair: u32) -> vec2<u32> {
    return select(four.xy, four.zw, pair == 1u);
}

fn pair_word(two: vec2<u32>, pair: u32) -> u32 {
    return select(two.x, two.y, pair == 1u);
}

fn pair_bytes(four: vec2<u32>, pair: u32) -> vec2<u32> {
    return four >> vec2<u32>(16u * pair);
}
