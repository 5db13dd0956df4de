// 32 consecutive activations, as one lane holds them for the dot products with a block of weights.
//
//   v0 = elements 0..4, v1 = elements 4..8, ... v7 = elements 28..32
//   sum_low = sum of elements 0..16    sum_high = sum of elements 16..32
//
// A format with an offset (q - 8) or a minimum multiplies it by these sums once per block instead
// of adding it to each of 32 weights.

struct Block {
    v0: vec4<f32>,
    v1: vec4<f32>,
    v2: vec4<f32>,
    v3: vec4<f32>,
    v4: vec4<f32>,
    v5: vec4<f32>,
    v6: vec4<f32>,
    v7: vec4<f32>,
    sum_low: f32,
    sum_high: f32,
}
