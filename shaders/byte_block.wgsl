// 32 consecutive activations as bytes, as one lane holds them for the dot products with a block of weights.
//
//   x[4 i + k] = scale * v[i][k]
//   low = sum of v of elements 0..16    high = sum of v of elements 16..32

struct ByteBlock {
    v: array<vec4<i32>, 8>,
    scale: f32,
    low: f32,
    high: f32,
}
