// The f16 scales of 2 rows. The halves of one word that hold d of both rows are `unpack2x16float`.
//
//   low_halves(s)    row r = low half of word r: d of a (d, m) pair
//   high_halves(s)   row r = high half of word r: m of a (d, m) pair
//   one_half(w, r)   row r of the word that holds it: low half for even rows

fn low_halves(s: vec2<u32>) -> vec2<f32> {
    return vec2<f32>(unpack2x16float(s.x).x, unpack2x16float(s.y).x);
}

fn high_halves(s: vec2<u32>) -> vec2<f32> {
    return vec2<f32>(unpack2x16float(s.x).y, unpack2x16float(s.y).y);
}

fn one_half(word: u32, row: u32) -> f32 {
    return unpack2x16float(word >> (16u * (row & 1u))).x;
}
