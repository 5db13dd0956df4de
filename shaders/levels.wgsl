// Quants that choose one of 16 signed bytes, and their dot product with a block.
//
//   level e = byte e & 3 of word e >> 2 of the table
//
// The table stays in registers and is read by selects and shifts: naga copies a `const` array that
// is indexed at run time to function memory each time.
import package::block::Block;
import package::nibbles::{low_nibbles, high_nibbles};

// The levels of the four quants of a word, one per byte, 0..16 each.
fn levels_of(word: u32, table: vec4<u32>) -> vec4<f32> {
    let q = unpack4xU8(word);
    let in_odd = (q & vec4<u32>(4u)) != vec4<u32>(0u);
    let low = select(vec4<u32>(table.x), vec4<u32>(table.y), in_odd);
    let high = select(vec4<u32>(table.z), vec4<u32>(table.w), in_odd);
    let words = select(low, high, (q & vec4<u32>(8u)) != vec4<u32>(0u));
    // Moves the byte to the top, then extends its sign.
    let top = words << (vec4<u32>(24u) - ((q & vec4<u32>(3u)) << vec4<u32>(3u)));
    return vec4<f32>(bitcast<vec4<i32>>(top) >> vec4<u32>(24u));
}

fn dot_levels(q: vec4<u32>, table: vec4<u32>, x: Block) -> f32 {
    let low = low_nibbles(q);
    let high = high_nibbles(q);
    return dot(levels_of(low.x, table), x.v0) + dot(levels_of(low.y, table), x.v1)
        + dot(levels_of(low.z, table), x.v2) + dot(levels_of(low.w, table), x.v3)
        + dot(levels_of(high.x, table), x.v4) + dot(levels_of(high.y, table), x.v5)
        + dot(levels_of(high.z, table), x.v6) + dot(levels_of(high.w, table), x.v7);
}
