// Plays `activations`: the input of a matrix product, stored as f16, read by quads.

@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>;

fn x_at(quad: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(x[quad].x), unpack2x16float(x[quad].y));
}
