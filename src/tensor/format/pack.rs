//! Packing and unpacking of whole tensors on all cores.

use std::ops::Range;

use rayon::prelude::*;

use super::Format;
use crate::error::{Error, Result};

/// Packs rows of `n_columns` weights into new planes; see [`pack_into`].
pub fn pack_rows<'a>(
    format: &Format,
    row: impl Fn(usize) -> &'a [u8] + Sync,
    rows: Range<usize>,
    n_columns: usize,
) -> Result<Vec<Vec<u32>>> {
    let n_groups = rows.len().div_ceil(4);
    let n_blocks = n_columns.div_ceil(32);
    let mut planes: Vec<Vec<u32>> =
        format.planes.iter().map(|plane| vec![0; n_groups * plane.group_words(n_blocks)]).collect();
    let mut slices: Vec<&mut [u32]> = planes.iter_mut().map(Vec::as_mut_slice).collect();
    pack_into(format, row, rows, n_columns, &mut slices)?;
    Ok(planes)
}

/// Packs rows of `n_columns` weights. Row `rows.start` is row 0 of the first group; the last group is
/// padded with rows of zeros. `row(i)` gives the bytes of row `i` in the file, or an empty slice for
/// a row of zeros. `planes`: zeroed, as long as [`super::Plane::group_words`] times the groups.
pub fn pack_into<'a>(
    format: &Format,
    row: impl Fn(usize) -> &'a [u8] + Sync,
    rows: Range<usize>,
    n_columns: usize,
    planes: &mut [&mut [u32]],
) -> Result<()> {
    let row_bytes = format.row_bytes(n_columns)?;
    let n_blocks = n_columns.div_ceil(32);
    let n_groups = rows.len().div_ceil(4);
    if n_blocks == 0 || n_groups == 0 {
        return Ok(());
    }

    let mut groups: Vec<Vec<&mut [u32]>> = (0..n_groups).map(|_| Vec::new()).collect();
    for (plane, words) in format.planes.iter().zip(planes) {
        let group_words = plane.group_words(n_blocks);
        if words.len() != n_groups * group_words {
            return Err(Error::Input(format!(
                "plane {} of {}: expected {} words, got {}",
                plane.name,
                format.name,
                n_groups * group_words,
                words.len()
            )));
        }
        for (group, words) in groups.iter_mut().zip(words.chunks_exact_mut(group_words)) {
            group.push(words);
        }
    }

    groups.into_par_iter().enumerate().try_for_each(|(g, mut planes)| {
        let mut bytes: [&[u8]; 4] = [&[]; 4];
        for (i, bytes) in bytes.iter_mut().enumerate() {
            let index = rows.start + 4 * g + i;
            if index >= rows.end {
                break;
            }
            *bytes = row(index);
            if !bytes.is_empty() && bytes.len() != row_bytes {
                return Err(Error::Input(format!(
                    "row {index}: expected {row_bytes} bytes of {}, got {}",
                    format.name,
                    bytes.len()
                )));
            }
        }
        (format.pack_group)(bytes, n_blocks, &mut planes);
        Ok(())
    })
}

/// The weights of a packed tensor, without its padding. Returns `(n_rows, n_columns)`, row-major.
pub fn unpack(format: &Format, planes: &[&[u32]], n_rows: usize, n_columns: usize) -> Vec<f32> {
    let n_blocks = n_columns.div_ceil(32);
    let mut weights = vec![0.0; n_rows * n_columns];
    if weights.is_empty() {
        return weights;
    }
    weights.par_chunks_exact_mut(n_columns).enumerate().for_each(|(row, out)| {
        let group: Vec<&[u32]> = format
            .planes
            .iter()
            .zip(planes)
            .map(|(plane, words)| {
                let group_words = plane.group_words(n_blocks);
                &words[row / 4 * group_words..][..group_words]
            })
            .collect();
        let mut padded = vec![0.0; n_blocks * 32];
        (format.unpack_row)(&group, n_blocks, row % 4, &mut padded);
        out.copy_from_slice(&padded[..n_columns]);
    });
    weights
}
