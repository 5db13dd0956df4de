// Plays `tile`: what a product keeps in workgroup memory, as f32.
alias tile4 = vec4<f32>;

fn from_tile4(v: tile4) -> vec4<f32> {
    return v;
}

fn to_tile4(v: vec4<f32>) -> tile4 {
    return v;
}
