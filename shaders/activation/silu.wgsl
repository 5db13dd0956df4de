// Plays `activation`: f(x) = x / (1 + exp(-x)).
// Source: Elfwing et al. 2017, arXiv:1702.03118.
fn activate(x: vec4<f32>) -> vec4<f32> {
    // The clamp keeps exp finite; beyond it the result is 0 or x to f32's precision.
    return x / (1.0 + exp(clamp(-x, vec4<f32>(-87.0), vec4<f32>(87.0))));
}
