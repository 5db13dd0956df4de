// Quants that choose one of 16 signed bytes.
//
//   level e = byte e & 3 of word e >> 2 of the table
//
// The table stays in registers and is read by selects and shifts: naga copies a `const` array that
// is indexed at run time to function memory each time.

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
