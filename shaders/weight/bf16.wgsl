// Weights stored as BF16, two per word.
//
//   quants   tiles (band.wgsl) of 4 vec4<u32>: elements 2 w (low half), 2 w + 1 (high half) in word w
//
// Source: GGUF type table; a bf16 is the upper half of an f32.
import package::block::Block;
import package::band::{tile_first, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

fn unpack_bf16(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xFFFF0000u));
}

// One row of a block.
struct Row {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
}

fn load_row(at: u32, width: u32) -> Row {
    return Row(
        weight_quants[at],
        weight_quants[at + width],
        weight_quants[at + 2u * width],
        weight_quants[at + 3u * width],
    );
}

fn dot_pairs(r: Row, x: Block) -> f32 {
    return dot(half_pairs(r.a.x, r.a.y), x.v0) + dot(half_pairs(r.a.z, r.a.w), x.v1)
        + dot(half_pairs(r.b.x, r.b.y), x.v2) + dot(half_pairs(r.b.z, r.b.w), x.v3)
        + dot(half_pairs(r.c.x, r.c.y), x.v4) + dot(half_pairs(r.c.z, r.c.w), x.v5)
        + dot(half_pairs(r.d.x, r.d.y), x.v6) + dot(half_pairs(r.d.z, r.d.w), x.v7);
}

fn half_pairs(low: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack_bf16(low), unpack_bf16(high));
}

// What a lane needs of 4 rows and one block.
struct Weights {
    row_0: Row,
    row_1: Row,
    row_2: Row,
    row_3: Row,
}

// Blocks `block` of the 4 rows of `group`.
fn load_weights(group: u32, block: u32, n_blocks: u32) -> Weights {
    let at = tile_first(group, block, n_blocks, 4u);
    let width = tile_width(block, n_blocks);
    return Weights(
        load_row(at, width),
        load_row(at + 4u * width, width),
        load_row(at + 8u * width, width),
        load_row(at + 12u * width, width),
    );
}

// The activations as `dot4` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Dot products of 4 rows with 32 prepared activations.
fn dot4(w: Weights, x: Block) -> vec4<f32> {
    return vec4<f32>(dot_pairs(w.row_0, x), dot_pairs(w.row_1, x), dot_pairs(w.row_2, x), dot_pairs(w.row_3, x));
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let at = tile_unit(row, quad >> 3u, n_blocks, (quad >> 1u) & 3u, 4u);
    let word = 2u * (quad & 1u);
    return half_pairs(weight_quants[at][word], weight_quants[at][word + 1u]);
}
