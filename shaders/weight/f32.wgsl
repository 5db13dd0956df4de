// Weights stored as F32: `w` is the word.
//
//   quants   [row][block] of 8 vec4<u32>: element e of the block in word e
//
// Source: GGUF type table.
import package::block::Block;

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

fn dot_floats(at: u32, x: Block) -> f32 {
    return dot(bitcast<vec4<f32>>(weight_quants[at]), x.v0)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 1u]), x.v1)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 2u]), x.v2)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 3u]), x.v3)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 4u]), x.v4)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 5u]), x.v5)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 6u]), x.v6)
        + dot(bitcast<vec4<f32>>(weight_quants[at + 7u]), x.v7);
}

// Dot products of the 4 rows of `group` with 32 activations: weights 32 * block.. of each row.
fn dot4(group: u32, block: u32, n_blocks: u32, x: Block) -> vec4<f32> {
    let at = 8u * (4u * group * n_blocks + block);
    let step = 8u * n_blocks;
    return vec4<f32>(
        dot_floats(at, x),
        dot_floats(at + step, x),
        dot_floats(at + 2u * step, x),
        dot_floats(at + 3u * step, x),
    );
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(weight_quants[8u * row * n_blocks + quad]);
}
