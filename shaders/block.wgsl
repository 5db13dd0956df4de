// 32 consecutive activations, as one lane holds them for the dot products with a block of weights.
//
//   v[i] = elements 4 i .. 4 i + 4
//   sum_low = sum of elements 0..16    sum_high = sum of elements 16..32
//
// A format with an offset (q - 8) or a minimum multiplies it by these sums once per block instead
// of adding it to each of 32 weights.

struct Block {
    v: array<vec4<f32>, 8>,
    sum_low: f32,
    sum_high: f32,
}

fn block_of(v: array<vec4<f32>, 8>) -> Block {
    let low = (v[0] + v[1]) + (v[2] + v[3]);
    let high = (v[4] + v[5]) + (v[6] + v[7]);
    return Block(v, dot(low, vec4<f32>(1.0)), dot(high, vec4<f32>(1.0)));
}
