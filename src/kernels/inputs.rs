//! How the inputs of matrix products are stored.

use crate::graph::{Dtype, Graph};
use crate::tensor::Format;

/// How kernels store activations that are wanted as `dtype`. Q8Sums asks for inputs of products in blocks of
/// bytes where that is faster, as llama.cpp's CPU backend has them, and F16 elsewhere.
pub fn real_dtype(g: &mut Graph, dtype: Dtype) -> Dtype {
    g.set_byte_inputs(dtype == Dtype::Q8Sums);
    if dtype == Dtype::Q8Sums { Dtype::F16 } else { dtype }
}

/// How an input of products with weights in these formats is stored, where activations are stored as
/// `real`: in blocks of bytes where those are wanted, the device multiplies them faster and no weight is in
/// full.
pub fn input_dtype(g: &Graph, real: Dtype, formats: &[&Format]) -> Dtype {
    let quantised = |format: &&Format| format.block_len > 1;
    let faster = |format: &&Format| byte_dots(format).0 != "floats";
    let wanted = real == Dtype::F16 && g.byte_inputs() && g.caps().byte_blocks();
    match wanted && formats.iter().all(quantised) && formats.iter().any(faster) {
        true => Dtype::Q8Sums,
        false => real,
    }
}

/// The file that plays `dots` for activations in blocks of bytes and a weight in `format`, and the parts
/// in which it sums a block.
pub fn byte_dots(format: &Format) -> (&'static str, u32) {
    match format.name {
        "Q4_0" | "Q4_1" | "Q4_K" => ("pairs", 2),
        "Q5_0" | "Q5_1" | "Q5_K" => ("pairs", 4),
        "Q8_0" => ("bytes", 1),
        _ => ("floats", 1),
    }
}
