// Plays `activations`: the input of a matrix product, stored as f32, read by quads.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

fn x_at(quad: u32) -> vec4<f32> {
    return x[quad];
}
