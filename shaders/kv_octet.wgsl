// An octet of keys or values stored as f16.
alias KvOctet = vec4<u32>;

fn octet_floats(v: KvOctet) -> array<vec4<f32>, 2> {
    return array<vec4<f32>, 2>(
        vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y)),
        vec4<f32>(unpack2x16float(v.z), unpack2x16float(v.w)),
    );
}
