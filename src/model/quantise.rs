//! Which weights are stored in fewer bits when a model is quantised, and how.

use rayon::prelude::*;

use crate::error::Result;
use crate::tensor::{Format, format};

/// The format that the matrix of our name `name` gets when `wanted` is asked for; `None` leaves it.
///
/// Tables that are read a row at a time and the choice of experts stay as they are: they are small.
/// The embedding and the output head decide between near-tied tokens and get 8 bits at least, and so do
/// rows that are no whole number of blocks.
pub fn target(name: &str, n_columns: usize, wanted: &'static Format) -> Option<&'static Format> {
    const KEPT: [&str; 4] = ["ffn_gate_inp", "position_embd", "token_types", "attn_rel_b"];
    if KEPT.iter().any(|kept| name.contains(kept)) {
        return None;
    }
    let is_vocabulary = name.starts_with("token_embd") || name.starts_with("output");
    let eight = format::by_name("Q8_0").ok()?;
    let choice = if is_vocabulary { eight } else { wanted };
    [choice, eight].into_iter().find(|format| n_columns.is_multiple_of(format.block_len))
}

/// Rows of `n_columns` weights in `from` as rows in `to`.
pub fn requantise(bytes: &[u8], n_columns: usize, from: &Format, to: &Format) -> Result<Vec<u8>> {
    let row_bytes = from.row_bytes(n_columns)?;
    let mut out = vec![0u8; bytes.len() / row_bytes * to.row_bytes(n_columns)?];
    let rows = out.par_chunks_exact_mut(to.row_bytes(n_columns)?).zip(bytes.par_chunks_exact(row_bytes));
    rows.try_for_each(|(out, row)| -> Result<()> {
        let mut values = vec![0.0f32; n_columns];
        from.dequantise_row(row, &mut values);
        out.copy_from_slice(&to.quantise_row(&values)?);
        Ok(())
    })?;
    Ok(out)
}
