// IQ4_NL: 32 weights that choose one of 16 levels, and a scale. w = d WEIGHT_LEVELS[q]
//
//   quants   tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   scales   [block] of vec2<u32>: f16 d of rows 0, 1 in word 0; of rows 2, 3 in word 1
//
// Source: `ggml-common.h` of https://github.com/ggml-org/ggml, block_iq4_nl and kvalues_iq4nl.
import package::block::Block;
import package::halves::one_half;
import package::levels::levels_of;
import package::nibbles::{nibble_quad, nibbles_of};
import package::band::{block_unit, tile_pair, tile_unit, tile_width};
import package::pair::pair_word;

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_scales: array<vec2<u32>>;

// -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113 as signed bytes.
const WEIGHT_LEVELS = vec4<u32>(0xBFAD9881u, 0xF6EADDCFu, 0x26190D01u, 0x71594535u);

// What a lane needs of 2 rows and one block.
struct Weights {
    rows: array<vec4<u32>, 2>,
    scales: u32,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 1u);
    let scales_at = block_unit(group, block, n_blocks);
    return Weights(
        array<vec4<u32>, 2>(weight_quants[at], weight_quants[at + width]),
        pair_word(weight_scales[scales_at], pair),
    );
}

// The activations as `quad` takes them.
fn prepare(x: Block) -> Block {
    return x;
}

// Elements 4 i .. 4 i + 4 of row r, by which prepared activations are multiplied.
fn quad(w: Weights, r: u32, i: u32) -> vec4<f32> {
    return levels_of(nibbles_of(w.rows[r], i), WEIGHT_LEVELS);
}

// Dot products of 2 rows with 32 activations, from those of `quad` and the sums of the activations, each of
// elements 0..16 and 16..32.
fn scaled(w: Weights, low: vec2<f32>, high: vec2<f32>, x_low: f32, x_high: f32) -> vec2<f32> {
    return unpack2x16float(w.scales) * (low + high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let quants = nibble_quad(weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)][part & 3u], part);
    let d = one_half(weight_scales[scales_at][(row >> 1u) & 1u], row);
    return d * levels_of(quants, WEIGHT_LEVELS);
}
