// Weights stored as F32: `w` is the word.
//
//   quants   tiles (band.wgsl) of 8 vec4<u32>: element e of the block in word e
//
// Source: GGUF type table.
import package::block::Block;
import package::band::{tile_first, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;

// One row of a block.
struct Row {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
    d: vec4<u32>,
    e: vec4<u32>,
    f: vec4<u32>,
    g: vec4<u32>,
    h: vec4<u32>,
}

fn load_row(at: u32, width: u32) -> Row {
    return Row(
        weight_quants[at],
        weight_quants[at + width],
        weight_quants[at + 2u * width],
        weight_quants[at + 3u * width],
        weight_quants[at + 4u * width],
        weight_quants[at + 5u * width],
        weight_quants[at + 6u * width],
        weight_quants[at + 7u * width],
    );
}

fn dot_floats(r: Row, x: Block) -> f32 {
    return dot(bitcast<vec4<f32>>(r.a), x.v0) + dot(bitcast<vec4<f32>>(r.b), x.v1)
        + dot(bitcast<vec4<f32>>(r.c), x.v2) + dot(bitcast<vec4<f32>>(r.d), x.v3)
        + dot(bitcast<vec4<f32>>(r.e), x.v4) + dot(bitcast<vec4<f32>>(r.f), x.v5)
        + dot(bitcast<vec4<f32>>(r.g), x.v6) + dot(bitcast<vec4<f32>>(r.h), x.v7);
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
    let at = tile_first(group, block, n_blocks, 8u);
    let width = tile_width(block, n_blocks);
    return Weights(
        load_row(at, width),
        load_row(at + 8u * width, width),
        load_row(at + 16u * width, width),
        load_row(at + 24u * width, width),
    );
}

// The activations as `dot4` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Dot products of 4 rows with 32 prepared activations.
fn dot4(w: Weights, x: Block) -> vec4<f32> {
    return vec4<f32>(dot_floats(w.row_0, x), dot_floats(w.row_1, x), dot_floats(w.row_2, x), dot_floats(w.row_3, x));
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(weight_quants[tile_unit(row, quad >> 3u, n_blocks, quad & 7u, 8u)]);
}
