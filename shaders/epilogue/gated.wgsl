// Plays `epilogue`: y = f(gate) * up, the activation of a gated feed-forward layer. The rows of the
// weight alternate: gate row, up row, gate row, up row. So 4 rows give 2 results.
import package::activation::activate;
import package::real::{real2, to_real2};

@group(0) @binding(2) var<storage, read_write> y: array<real2>;

fn finish(at: u32, v: vec4<f32>) {
    y[at] = to_real2(activate(vec4<f32>(v.x, v.z, 0.0, 0.0)).xy * v.yw);
}
