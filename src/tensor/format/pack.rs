//! Packing and unpacking of whole tensors on all cores.

use std::ops::Range;

use rayon::prelude::*;

use super::{BAND, Format, Plane, TILE};
use crate::error::{Error, Result};

/// Packs rows of `n_columns` weights into new planes; see [`pack_into`].
pub fn pack_rows<'a>(
    format: &Format,
    row: impl Fn(usize) -> &'a [u8] + Sync,
    rows: Range<usize>,
    n_columns: usize,
) -> Result<Vec<Vec<u32>>> {
    let n_blocks = n_columns.div_ceil(32);
    let mut planes: Vec<Vec<u32>> =
        format.planes.iter().map(|plane| vec![0; plane.words(rows.len(), n_blocks)]).collect();
    let mut slices: Vec<&mut [u32]> = planes.iter_mut().map(Vec::as_mut_slice).collect();
    pack_into(format, row, rows, n_columns, &mut slices)?;
    Ok(planes)
}

/// Packs rows of `n_columns` weights. Row `rows.start` is row 0 of the first band; the last band is
/// padded with rows of zeros. `row(i)` gives the bytes of row `i` in the file, or an empty slice for
/// a row of zeros. `planes`: zeroed, as long as [`Plane::words`] says.
///
/// ```text
/// plane            [band of 32 rows][tile of 8 blocks][group of 4 rows][what the format keeps of them]
/// plane by rows    [band of 32 rows][tile of 8 blocks][pair of rows 0..2][group of 4 rows][... of the pair]
/// ```
///
/// The last tile is as wide as there are blocks left. The order is that of `shaders/band.wgsl`.
pub fn pack_into<'a>(
    format: &Format,
    row: impl Fn(usize) -> &'a [u8] + Sync,
    rows: Range<usize>,
    n_columns: usize,
    planes: &mut [&mut [u32]],
) -> Result<()> {
    let row_bytes = format.row_bytes(n_columns)?;
    let n_blocks = n_columns.div_ceil(32);
    let n_bands = rows.len().div_ceil(BAND);
    if n_blocks == 0 || n_bands == 0 {
        return Ok(());
    }

    let mut bands: Vec<Vec<&mut [u32]>> = (0..n_bands).map(|_| Vec::new()).collect();
    for (plane, words) in format.planes.iter().zip(planes) {
        let expected = plane.words(rows.len(), n_blocks);
        if words.len() != expected {
            return Err(Error::Input(format!(
                "plane {} of {}: expected {expected} words, got {}",
                plane.name,
                format.name,
                words.len()
            )));
        }
        for (band, words) in bands.iter_mut().zip(words.chunks_exact_mut(expected / n_bands)) {
            band.push(words);
        }
    }

    bands.into_par_iter().enumerate().try_for_each(|(band, mut planes)| {
        // The planes of one group, from which its tiles are dealt out to the band.
        let mut own: Vec<Vec<u32>> =
            format.planes.iter().map(|plane| vec![0; plane.group_words(n_blocks)]).collect();
        for group in 0..BAND / 4 {
            let mut bytes: [&[u8]; 4] = [&[]; 4];
            for (i, bytes) in bytes.iter_mut().enumerate() {
                let index = rows.start + BAND * band + 4 * group + i;
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
            own.iter_mut().for_each(|words| words.fill(0));
            let mut slices: Vec<&mut [u32]> = own.iter_mut().map(Vec::as_mut_slice).collect();
            (format.pack_group)(bytes, n_blocks, &mut slices);
            for ((plane, words), own) in format.planes.iter().zip(&mut planes).zip(&own) {
                for (at, from) in pieces(plane, n_blocks, group) {
                    words[at..at + from.len()].copy_from_slice(&own[from]);
                }
            }
        }
        Ok(())
    })
}

/// What lies together of a group: where it begins in its band, and where it lies in the group's own order.
fn pieces(plane: &Plane, n_blocks: usize, group: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let whole = plane.tile_words(TILE);
    let n_pieces = if plane.by_rows { 2 } else { 1 };
    (0..n_blocks.div_ceil(TILE) * n_pieces).map(move |i| {
        let (tile, piece) = (i / n_pieces, i % n_pieces);
        let words = plane.tile_words(TILE.min(n_blocks - TILE * tile)) / n_pieces;
        let own = tile * whole + piece * words;
        (BAND / 4 * tile * whole + (piece * BAND / 4 + group) * words, own..own + words)
    })
}

/// Group `group` of a plane, in the order of its format.
pub fn group_of(plane: &Plane, words: &[u32], n_blocks: usize, group: usize) -> Vec<u32> {
    let band_words = plane.words(BAND, n_blocks);
    let band = &words[group / (BAND / 4) * band_words..][..band_words];
    let mut own = vec![0; plane.group_words(n_blocks)];
    for (at, to) in pieces(plane, n_blocks, group % (BAND / 4)) {
        let n = to.len();
        own[to].copy_from_slice(&band[at..at + n]);
    }
    own
}

/// The weights of a packed tensor, without its padding. Returns `(n_rows, n_columns)`, row-major.
pub fn unpack(format: &Format, planes: &[&[u32]], n_rows: usize, n_columns: usize) -> Vec<f32> {
    let n_blocks = n_columns.div_ceil(32);
    let mut weights = vec![0.0; n_rows * n_columns];
    if weights.is_empty() {
        return weights;
    }
    weights.par_chunks_mut(4 * n_columns).enumerate().for_each(|(group, out)| {
        let own: Vec<Vec<u32>> = format
            .planes
            .iter()
            .zip(planes)
            .map(|(plane, words)| group_of(plane, words, n_blocks, group))
            .collect();
        let own: Vec<&[u32]> = own.iter().map(Vec::as_slice).collect();
        let mut padded = vec![0.0; n_blocks * 32];
        for (row, out) in out.chunks_exact_mut(n_columns).enumerate() {
            (format.unpack_row)(&own, n_blocks, row, &mut padded);
            out.copy_from_slice(&padded[..n_columns]);
        }
    });
    weights
}
