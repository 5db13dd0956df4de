// Q5_1: 32 weights of 5 bits, a scale and a minimum. w = d q + m
//
//   quants      [row][block] of one vec4<u32>, nibbles as in nibbles.wgsl
//   high bits   [group][block] of vec4<u32>: the one-bit words of rows 0..4
//   scales      [group][block] of vec4<u32>: d (low half), m (high half) of row r in word r
//
// Source: `ggml-quants.h` of https://github.com/ggml-org/ggml, block_q5_1.
import package::block::Block;
import package::bytes::bytes_unsigned;
import package::halves::{low_halves, high_halves};
import package::nibbles::{bit_quad, dot_nibbles_and_bit, nibble_quad};

@group(1) @binding(0) var<storage, read> weight_quants: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> weight_high_bits: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read> weight_scales: array<vec4<u32>>;

// Dot products of the 4 rows of `group` with 32 activations: weights 32 * block.. of each row.
fn dot4(group: u32, block: u32, n_blocks: u32, x: Block) -> vec4<f32> {
    let at = 4u * group * n_blocks + block;
    let scales_at = group * n_blocks + block;
    let high = weight_high_bits[scales_at];
    let sums = vec4<f32>(
        dot_nibbles_and_bit(weight_quants[at], high.x, x),
        dot_nibbles_and_bit(weight_quants[at + n_blocks], high.y, x),
        dot_nibbles_and_bit(weight_quants[at + 2u * n_blocks], high.z, x),
        dot_nibbles_and_bit(weight_quants[at + 3u * n_blocks], high.w, x),
    );
    let scales = weight_scales[scales_at];
    return low_halves(scales) * sums + high_halves(scales) * (x.sum_low + x.sum_high);
}

// Weights 4 * quad .. 4 * quad + 4 of `row`.
fn weight4(row: u32, quad: u32, n_blocks: u32) -> vec4<f32> {
    let block = quad >> 3u;
    let part = quad & 7u;
    let scales_at = (row >> 2u) * n_blocks + block;
    let quants = nibble_quad(weight_quants[row * n_blocks + block][part & 3u], part)
        | (bit_quad(weight_high_bits[scales_at][row & 3u], part) << 4u);
    let scale_and_min = unpack2x16float(weight_scales[scales_at][row & 3u]);
    return scale_and_min.x * bytes_unsigned(quants) + scale_and_min.y;
}
