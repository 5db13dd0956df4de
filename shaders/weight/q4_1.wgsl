// Q4_1: 32 weights of 4 bits, a scale and a minimum. w = d q + m
//
//   quants      tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   scales      [block] of vec4<u32>: d (low half), m (high half) of row r in word r
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q4_1.
import package::block::Block;
import package::bytes::{bytes_unsigned, scaled_for_bytes};
import package::halves::{low_halves, high_halves};
import package::nibbles::{dot_nibbles, nibble_quad};
import package::band::{block_unit, tile_first, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec4<u32>>;

// What a lane needs of 4 rows and one block.
struct Weights {
    row_0: vec4<u32>,
    row_1: vec4<u32>,
    row_2: vec4<u32>,
    row_3: vec4<u32>,
    scales: vec4<u32>,
}

// Blocks `block` of the 4 rows of `group`.
fn load_weights(group: u32, block: u32, n_blocks: u32) -> Weights {
    let at = tile_first(group, block, n_blocks, 1u);
    let width = tile_width(block, n_blocks);
    let scales_at = block_unit(group, block, n_blocks);
    return Weights(
        weight_quants[at],
        weight_quants[at + width],
        weight_quants[at + 2u * width],
        weight_quants[at + 3u * width],
        weight_scales[scales_at],
    );
}

// The activations as `dot4` takes them.
fn prepare(x: Block) -> Block {
    return scaled_for_bytes(x);
}

// Dot products of 4 rows with 32 prepared activations.
fn dot4(w: Weights, x: Block) -> vec4<f32> {
    let sums = vec4<f32>(
        dot_nibbles(w.row_0, x),
        dot_nibbles(w.row_1, x),
        dot_nibbles(w.row_2, x),
        dot_nibbles(w.row_3, x),
    );
    return low_halves(w.scales) * sums + high_halves(w.scales) * (x.sum_low + x.sum_high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let quants = nibble_quad(weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)][part & 3u], part);
    let scale_and_min = unpack2x16float(weight_scales[scales_at][row & 3u]);
    return scale_and_min.x * bytes_unsigned(quants) + scale_and_min.y;
}
