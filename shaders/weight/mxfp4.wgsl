// MXFP4: 32 weights of 4-bit floating point under a power of two. w = 2^(e - 128) WEIGHT_LEVELS[q]
//
//   quants      tiles (band.wgsl) of one vec4<u32>, nibbles as in nibbles.wgsl
//   exponents   [block] of u32: e of rows 0..4, one byte each
//
// WEIGHT_LEVELS are the E2M1 values times two, as integers; hence 128 where the format says 127.
// Source: OCP Microscaling Formats 1.0, section 5; `ggml-common.h` of
// https://github.com/ggml-org/ggml, block_mxfp4 and kvalues_mxfp4.
import package::block::Block;
import package::levels::levels_of;
import package::nibbles::{nibble_quad, nibbles_of};
import package::band::{block_unit, tile_pair, tile_unit, tile_width};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_exponents: array<u32>;

// 0 1 2 3, 4 6 8 12, 0 -1 -2 -3, -4 -6 -8 -12 as signed bytes.
const WEIGHT_LEVELS = vec4<u32>(0x03020100u, 0x0C080604u, 0xFDFEFF00u, 0xF4F8FAFCu);

// 2^(e - 128) of each byte. Those of e = 0 and 1 are subnormal and may become zero.
fn powers_of_two(exponents: u32) -> vec4<f32> {
    let e = unpack4xU8(exponents);
    let normal = (e - vec4<u32>(1u)) << vec4<u32>(23u);
    let subnormal = vec4<u32>(0x00200000u) << (e & vec4<u32>(1u));
    return bitcast<vec4<f32>>(select(normal, subnormal, e < vec4<u32>(2u)));
}

// What a lane needs of 2 rows and one block.
struct Weights {
    rows: array<vec4<u32>, 2>,
    exponents: u32,
}

// Blocks `block` of a pair (pair.wgsl) of the rows of `group`.
fn load_weights(group: u32, pair: u32, block: u32, n_blocks: u32) -> Weights {
    let width = tile_width(block, n_blocks);
    let at = tile_pair(group, pair, block, n_blocks, 1u);
    let scales_at = block_unit(group, block, n_blocks);
    return Weights(
        array<vec4<u32>, 2>(weight_quants[at], weight_quants[at + width]),
        weight_exponents[scales_at] >> (16u * pair),
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
    return powers_of_two(w.exponents).xy * (low + high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = block_unit(row >> 2u, block, n_blocks);
    let quants = nibble_quad(weight_quants[tile_unit(row, block, n_blocks, 0u, 1u)][part & 3u], part);
    let exponent = (weight_exponents[scales_at] >> (8u * (row & 3u))) & 0xFFu;
    return powers_of_two(exponent).x * levels_of(quants, WEIGHT_LEVELS);
}
