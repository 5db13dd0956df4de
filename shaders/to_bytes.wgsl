// Numbers as signed bytes with a common scale: scale = max |x| / 127, q = round(x / scale).

// The bits of |v|: of numbers without a sign they are in the numbers' order.
fn size_bits(v: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(v) & vec4<u32>(0x7FFFFFFFu);
}

// The scale, and what numbers are multiplied by: 0 where all are too small for a scale.
fn byte_scale(largest_bits: u32) -> vec2<f32> {
    let scale = bitcast<f32>(largest_bits) / 127.0;
    return vec2<f32>(scale, select(0.0, 1.0 / scale, scale > 0.0));
}

fn to_bytes(v: vec4<f32>, inverse: f32) -> vec4<i32> {
    // 1.5 * 2^23: numbers so large have no fraction, and the last bits of their sum are the integer.
    return bitcast<vec4<i32>>(v * inverse + 12582912.0) - vec4<i32>(0x4B400000);
}
