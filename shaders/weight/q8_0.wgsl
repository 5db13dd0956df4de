// Q8_0: 32 signed bytes and a scale. w = d q
//
//   quants   tiles (band.wgsl) of 2 vec4<u32>: element e of the block in byte e
//   scales   [block] of vec2<u32>: f16 d of rows 0, 1 in word 0; of rows 2, 3 in word 1
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q8_0.
import package::block::Block;
import package::bytes::bytes_signed;
import package::halves::{four_halves, one_half};
import package::band::{block_unit, tile_first, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;

// One row of a block.
struct Row {
    a: vec4<u32>,
    b: vec4<u32>,
}

fn load_row(at: u32, width: u32) -> Row {
    return Row(weight_quants[at], weight_quants[at + width]);
}

fn dot_signed_bytes(r: Row, x: Block) -> f32 {
    return dot(bytes_signed(r.a.x), x.v0) + dot(bytes_signed(r.a.y), x.v1)
        + dot(bytes_signed(r.a.z), x.v2) + dot(bytes_signed(r.a.w), x.v3)
        + dot(bytes_signed(r.b.x), x.v4) + dot(bytes_signed(r.b.y), x.v5)
        + dot(bytes_signed(r.b.z), x.v6) + dot(bytes_signed(r.b.w), x.v7);
}

// What a lane needs of 4 rows and one block.
struct Weights {
    row_0: Row,
    row_1: Row,
    row_2: Row,
    row_3: Row,
    scales: vec2<u32>,
}

// Blocks `block` of the 4 rows of `group`.
fn load_weights(group: u32, block: u32, n_blocks: u32) -> Weights {
    let at = tile_first(group, block, n_blocks, 2u);
    let width = tile_width(block, n_blocks);
    return Weights(
        load_row(at, width),
        load_row(at + 2u * width, width),
        load_row(at + 4u * width, width),
        load_row(at + 6u * width, width),
        weight_scales[block_unit(group, block, n_blocks)],
    );
}

// The activations as `dot4` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Dot products of 4 rows with 32 prepared activations.
fn dot4(w: Weights, x: Block) -> vec4<f32> {
    let sums = vec4<f32>(dot_signed_bytes(w.row_0, x), dot_signed_bytes(w.row_1, x), dot_signed_bytes(w.row_2, x), dot_signed_bytes(w.row_3, x));
    return four_halves(w.scales) * sums;
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let word = weight_quants[tile_unit(row, block, n_blocks, (quad >> 2u) & 1u, 2u)][quad & 3u];
    let scales = weight_scales[block_unit(row >> 2u, block, n_blocks)][(row >> 1u) & 1u];
    return one_half(scales, row) * bytes_signed(word);
}
