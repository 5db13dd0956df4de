// Plays `epilogue`: as gated.wgsl, two groups of rows at a time, whose 4 results are one element of y.
// Neighbouring lanes finish an even group and the odd one after it.
import package::activation::activate;
import package::real::{real4, to_real4};

@group(0) @binding(2) var<storage, read_write> y: array<real4>;

fn finish(at: u32, v: vec4<f32>) {
    let results = activate(vec4<f32>(v.x, v.z, 0.0, 0.0)).xy * v.yw;
    let next = subgroupShuffleXor(results, 1u);
    if (at & 1u) == 0u {
        y[at >> 1u] = to_real4(vec4<f32>(results, next));
    }
}
