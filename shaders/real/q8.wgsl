// Plays `real`: activations stored as blocks of 32 bytes, which `byte_texel` makes where they are written.
alias real4 = vec4<f32>;

fn to_real4(v: vec4<f32>) -> real4 {
    return v;
}
