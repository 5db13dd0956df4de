// Plays `real`: activations stored as f32.
alias real4 = vec4<f32>;
alias real2 = vec2<f32>;

fn from_real4(v: real4) -> vec4<f32> {
    return v;
}

fn to_real4(v: vec4<f32>) -> real4 {
    return v;
}

fn to_real2(v: vec2<f32>) -> real2 {
    return v;
}
