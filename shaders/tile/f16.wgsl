// Plays `tile`: what a product keeps in workgroup memory, as f16: half the memory, rounded once.
alias tile4 = vec2<u32>;

fn from_tile4(v: tile4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}

fn to_tile4(v: vec4<f32>) -> tile4 {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
