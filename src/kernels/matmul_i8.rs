//! Matrix product of bytes for many tokens on GPUs. The maths is in `shaders/matmul_i8.wgsl`.

use super::matmul::MATVEC_TOKENS_MAX;
use super::matvec::{self, Epilogue, Kind, Matvec, product_case};
use super::quantise_rows::quantise_rows;
use super::roles::{ACTIVATION, Activation, EPILOGUE, QUANTS, REAL, WEIGHT};
use crate::error::Result;
use crate::gpu::{Caps, Extent};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Tensor, wgsl};
use crate::tensor::format;

pub static MATMUL_I8: Kernel = Kernel {
    name: "matmul_i8",
    wgsl: wgsl!("matmul_i8"),
    roles: &[&WEIGHT, &QUANTS, &EPILOGUE, &ACTIVATION, &REAL],
    params: Matvec::LAYOUT,
    // The sums of a format with minimums or offsets cancel inside a block.
    twin: |call: &mut Call| matvec::product(call, 4.0),
    cases,
};

/// The part of a product that one workgroup makes: 4 * groups * row_lanes rows, cols * col_lanes tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ByteTile {
    /// Groups of 4 rows per lane.
    groups: u32,
    /// Tokens per lane.
    cols: u32,
    row_lanes: u32,
    col_lanes: u32,
}

impl ByteTile {
    fn n_rows(&self) -> u32 {
        4 * self.groups * self.row_lanes
    }

    fn n_tokens(&self) -> u32 {
        self.cols * self.col_lanes
    }

    fn n_lanes(&self) -> u32 {
        self.row_lanes * self.col_lanes
    }
}

/// From the largest to the smallest; 12 KiB of workgroup memory at most.
const TILES: [ByteTile; 3] = [
    ByteTile { groups: 2, cols: 4, row_lanes: 16, col_lanes: 16 },
    ByteTile { groups: 1, cols: 4, row_lanes: 16, col_lanes: 16 },
    ByteTile { groups: 1, cols: 4, row_lanes: 8, col_lanes: 8 },
];

/// Workgroups that keep a GPU of middle size busy.
const WORKGROUPS_MIN: usize = 96;

/// The tile for a product, or `None` where the device is not measured to be fast at bytes, the tokens are
/// too few, the format has no bytes, or activations are wanted in full.
pub(super) fn choose(caps: &Caps, x: Tensor, weight: &PackedWeight) -> Option<ByteTile> {
    let wanted = caps.int8_dot && !caps.software() && !caps.images && x.n_rows() > MATVEC_TOKENS_MAX;
    if !wanted || x.dtype != Dtype::F16 || QUANTS.file(weight.format.name).is_none() {
        return None;
    }
    let full = |tile: &&ByteTile| {
        let tokens = x.n_rows().div_ceil(tile.n_tokens() as usize);
        tokens * weight.n_rows.div_ceil(tile.n_rows() as usize) >= WORKGROUPS_MIN
    };
    let fits = |tile: &&ByteTile| tile.n_lanes() <= caps.workgroup_lanes_max;
    let fitting = || TILES.iter().filter(fits);
    fitting().find(full).or_else(|| fitting().next_back()).copied()
}

pub(super) fn record(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    tile: ByteTile,
) -> Result<Tensor> {
    let out = matvec::output(g, x, weight, bias, epilogue, false)?;
    let bytes = quantise_rows(g, x)?;
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let none = g.none();
        let launch = g
            .launch(&MATMUL_I8)
            .weight(&weight.name, weight.format, chunk)
            .role(&QUANTS, weight.format.name)
            .config("COLS", tile.cols)
            .config("COL_LANES", tile.col_lanes)
            .config("GROUPS", tile.groups)
            .config("HAS_BIAS", bias.is_some())
            .config("ROW_LANES", tile.row_lanes)
            .config("WG_SIZE", tile.n_lanes())
            .config("W_LOADS", (2 * tile.n_rows()).div_ceil(tile.n_lanes()))
            .config("X_LOADS", tile.n_tokens().div_ceil(tile.n_lanes()))
            .params(&out.params(bytes, chunk))
            .patch_rows("n_tokens", bytes)
            .read(bias.unwrap_or(none))
            .read(bytes);
        let rows = (chunk.n_rows as u32).div_ceil(tile.n_rows());
        out.bind(launch, i)
            .grid([x.row_extent(tile.n_tokens()), Extent::Fixed(rows), Extent::Fixed(1)])
            .terms(x.n_columns)
            .record()?;
    }
    Ok(out.y)
}

fn cases(_: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |format, shape, dtype, kind, tile| {
        let variant = format!("{tile:?}");
        cases.push(product_case(
            variant,
            format,
            shape,
            dtype,
            false,
            kind,
            move |g, x, weight, bias, epilogue| record(g, x, weight, bias, epilogue, tile),
        ));
    };
    // Every format, in tiles of one subgroup: software drivers are slow at barriers.
    let tiny = ByteTile { groups: 1, cols: 2, row_lanes: 4, col_lanes: 2 };
    for (name, _) in (QUANTS.files)() {
        let format = format::by_name(name).expect("a known format");
        let n_columns = if format.block_len == 256 { 512 } else { 544 };
        add(format, [5, 20, n_columns], Dtype::F16, Kind::Store, tiny);
    }
    let q4 = format::by_name("Q4_1").expect("a known format");
    add(q4, [3, 24, 64], Dtype::F16, Kind::Activate(Activation::Gelu), tiny);
    add(q4, [3, 24, 64], Dtype::F32, Kind::Gated(Activation::Silu), tiny);
    add(q4, [3, 28, 64], Dtype::F32, Kind::Residual, tiny);
    add(q4, [3, 28, 64], Dtype::F16, Kind::Bias, tiny);
    add(q4, [3, 40, 64], Dtype::F16, Kind::Chunks, tiny);
    // Loads of fewer pieces than lanes, as in the middle tile, and two groups per lane, as in the largest:
    // with all of their tokens software drivers compile them for a minute.
    add(q4, [17, 68, 96], Dtype::F16, Kind::Store, ByteTile { cols: 1, ..TILES[1] });
    add(q4, [9, 132, 96], Dtype::F16, Kind::Store, ByteTile { cols: 1, ..TILES[0] });
    cases
}
