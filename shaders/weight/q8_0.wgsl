// Q8_0: 32 signed bytes and a scale. w = d q
//
//   quants   [row][block] of 2 vec4<u32>: element e of the block in byte e
//   scales   [group][block] of vec2<u32>: f16 d of rows 0, 1 in word 0; of rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q8_0.
import package::block::Block;
import package::bytes::bytes_signed;
import package::halves::{four_halves, one_half};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;

fn dot_signed_bytes(at: u32, x: Block) -> f32 {
    let low = weight_quants[at];
    let high = weight_quants[at + 1u];
    return dot(bytes_signed(low.x), x.v0) + dot(bytes_signed(low.y), x.v1)
        + dot(bytes_signed(low.z), x.v2) + dot(bytes_signed(low.w), x.v3)
        + dot(bytes_signed(high.x), x.v4) + dot(bytes_signed(high.y), x.v5)
        + dot(bytes_signed(high.z), x.v6) + dot(bytes_signed(high.w), x.v7);
}

// Dot products of the 4 rows of `group` with 32 activations: weights 32 * block.. of each row.
fn dot4(group: u32, block: u32, n_blocks: u32, x: Block) -> vec4<f32> {
    let at = 2u * (4u * group * n_blocks + block);
    let step = 2u * n_blocks;
    let sums = vec4<f32>(
        dot_signed_bytes(at, x),
        dot_signed_bytes(at + step, x),
        dot_signed_bytes(at + 2u * step, x),
        dot_signed_bytes(at + 3u * step, x),
    );
    return four_halves(weight_scales[group * n_blocks + block]) * sums;
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let word = weight_quants[2u * row * n_blocks + (quad >> 2u)][quad & 3u];
    let scales = weight_scales[(row >> 2u) * n_blocks + block][(row >> 1u) & 1u];
    return one_half(scales, row) * bytes_signed(word);
}
