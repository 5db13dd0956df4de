// Weights stored as BF16, two per word.
//
//   quants   [row][block] of 4 vec4<u32>: elements 2 w (low half), 2 w + 1 (high half) in word w
//
// Source: GGUF type table; a bf16 is the upper half of an f32.
import package::block::Block;

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

fn unpack_bf16(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xFFFF0000u));
}

fn dot_pairs(at: u32, x: Block) -> f32 {
    let a = weight_quants[at];
    let b = weight_quants[at + 1u];
    let c = weight_quants[at + 2u];
    let d = weight_quants[at + 3u];
    return dot(half_pairs(a.x, a.y), x.v0) + dot(half_pairs(a.z, a.w), x.v1)
        + dot(half_pairs(b.x, b.y), x.v2) + dot(half_pairs(b.z, b.w), x.v3)
        + dot(half_pairs(c.x, c.y), x.v4) + dot(half_pairs(c.z, c.w), x.v5)
        + dot(half_pairs(d.x, d.y), x.v6) + dot(half_pairs(d.z, d.w), x.v7);
}

fn half_pairs(low: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack_bf16(low), unpack_bf16(high));
}

// Dot products of the 4 rows of `group` with 32 activations: weights 32 * block.. of each row.
fn dot4(group: u32, block: u32, n_blocks: u32, x: Block) -> vec4<f32> {
    let at = 4u * (4u * group * n_blocks + block);
    let step = 4u * n_blocks;
    return vec4<f32>(
        dot_pairs(at, x),
        dot_pairs(at + step, x),
        dot_pairs(at + 2u * step, x),
        dot_pairs(at + 3u * step, x),
    );
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let at = 4u * row * n_blocks + (quad >> 1u);
    let word = 2u * (quad & 1u);
    return half_pairs(weight_quants[at][word], weight_quants[at][word + 1u]);
}
