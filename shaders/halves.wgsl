// The f16 scales of 4 rows.
//
//   four_halves(s)   row 0 = low half of word 0, row 1 = high half, rows 2, 3 = word 1
//   low_halves(s)    row r = low half of word r: d of a (d, m) pair
//   high_halves(s)   row r = high half of word r: m of a (d, m) pair
//   one_half(w, r)   row r of the word that holds it: low half for even rows

fn four_halves(s: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x), unpack2x16float(s.y));
}

fn low_halves(s: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x).x, unpack2x16float(s.y).x, unpack2x16float(s.z).x, unpack2x16float(s.w).x);
}

fn high_halves(s: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(s.x).y, unpack2x16float(s.y).y, unpack2x16float(s.z).y, unpack2x16float(s.w).y);
}

fn one_half(word: u32, row: u32) -> f32 {
    return unpack2x16float(word >> (16u * (row & 1u))).x;
}
