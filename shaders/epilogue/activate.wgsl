// Plays `epilogue`: y = f(v), the activation of a plain feed-forward layer.
import package::activation::activate;
import package::real::{real4, to_real4};

@group(0) @binding(2) var<storage, read_write> y: array<real4>;

fn finish(at: u32, v: vec4<f32>) {
    y[at] = to_real4(activate(v));
}
