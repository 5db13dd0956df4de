// Plays `real`: activations stored as f16, two to a word. Needs no f16 arithmetic of the device.
alias real4 = vec2<u32>;
alias real2 = u32;

fn from_real4(v: real4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}

fn to_real4(v: vec4<f32>) -> real4 {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

fn to_real2(v: vec2<f32>) -> real2 {
    return pack2x16float(v);
}
