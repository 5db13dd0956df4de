// How softmax sums over different spans are brought to one scale.

// Below every score.
const NO_SCORE: f32 = -1e30;

// exp(x) for x <= 0; what is too small to matter is zero, not a denormal.
fn weight_of(x: vec4<f32>) -> vec4<f32> {
    return select(exp(max(x, vec4<f32>(-87.0))), vec4<f32>(0.0), x < vec4<f32>(-46.0));
}
