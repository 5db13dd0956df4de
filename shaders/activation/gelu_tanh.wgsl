// Plays `activation`: f(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
// Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
fn activate(x: vec4<f32>) -> vec4<f32> {
    let z = 0.7978845608 * x * (1.0 + 0.044715 * x * x);
    // (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)). The clamp keeps exp finite.
    return x / (1.0 + exp(clamp(-2.0 * z, vec4<f32>(-87.0), vec4<f32>(87.0))));
}
