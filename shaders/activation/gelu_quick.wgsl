// Plays `activation`: f(x) = x / (1 + exp(-1.702 x)).
// Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
fn activate(x: vec4<f32>) -> vec4<f32> {
    return x / (1.0 + exp(clamp(-1.702 * x, vec4<f32>(-87.0), vec4<f32>(87.0))));
}
