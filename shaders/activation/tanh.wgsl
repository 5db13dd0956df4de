// Plays `activation`: f(x) = tanh(x).
fn activate(x: vec4<f32>) -> vec4<f32> {
    // Beyond 15 tanh is 1 in f32, and some drivers overflow.
    return tanh(clamp(x, vec4<f32>(-15.0), vec4<f32>(15.0)));
}
