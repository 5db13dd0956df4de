//! Matrix product by cooperative matrices. The maths is in `shaders/matmul_coop.wgsl`.

use super::matmul::{F16_COARSE, MATVEC_TOKENS_MAX};
use super::matvec::{self, Epilogue, Kind, Matvec, product_case};
use super::roles::{self, ACTIVATION, ACTIVATIONS, Activation, COOP, EPILOGUE, REAL, WEIGHT};
use crate::error::Result;
use crate::gpu::{Caps, Extent};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Tensor, wgsl};
use crate::tensor::{FORMATS, format};

pub static MATMUL_COOP: Kernel = Kernel {
    name: "matmul_coop",
    wgsl: wgsl!("matmul_coop"),
    roles: &[&WEIGHT, &ACTIVATIONS, &COOP, &EPILOGUE, &ACTIVATION, &REAL],
    params: Matvec::LAYOUT,
    twin: |call: &mut Call| matvec::product(call, F16_COARSE),
    cases,
};

/// The part of a product that one workgroup makes, in cooperative matrices of `coop` x `coop`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CoopTile {
    coop: u32,
    /// Subgroups along rows and along tokens.
    sub_rows: u32,
    sub_cols: u32,
    /// Matrices of a subgroup along rows and along tokens.
    mat_rows: u32,
    mat_cols: u32,
    /// Matrices along the columns that are in workgroup memory at a time.
    step_mats: u32,
}

impl CoopTile {
    fn n_rows(&self) -> u32 {
        self.sub_rows * self.mat_rows * self.coop
    }

    fn n_tokens(&self) -> u32 {
        self.sub_cols * self.mat_cols * self.coop
    }

    /// Lanes of a workgroup: enough for all subgroups when they are as large as they can be.
    fn n_lanes(&self, caps: &Caps) -> u32 {
        self.sub_rows * self.sub_cols * caps.subgroup_max
    }

    /// Bytes of workgroup memory.
    fn bytes(&self) -> u32 {
        let tiles = 2 * (self.n_rows() + self.n_tokens()) * (self.step_mats * self.coop + 8);
        tiles + 4 * self.sub_rows * self.sub_cols * self.coop * self.coop
    }
}

/// From the largest to the smallest, by the size of the matrices: 128 x 64, 64 x 64 and 32 x 32 results.
const TILES_16: [CoopTile; 3] = [
    CoopTile { coop: 16, sub_rows: 2, sub_cols: 2, mat_rows: 4, mat_cols: 2, step_mats: 2 },
    CoopTile { coop: 16, sub_rows: 2, sub_cols: 2, mat_rows: 2, mat_cols: 2, step_mats: 2 },
    CoopTile { coop: 16, sub_rows: 2, sub_cols: 2, mat_rows: 1, mat_cols: 1, step_mats: 2 },
];
const TILES_8: [CoopTile; 2] = [
    CoopTile { coop: 8, sub_rows: 2, sub_cols: 2, mat_rows: 4, mat_cols: 4, step_mats: 4 },
    CoopTile { coop: 8, sub_rows: 2, sub_cols: 2, mat_rows: 2, mat_cols: 2, step_mats: 4 },
];

fn tiles(coop: u32) -> &'static [CoopTile] {
    match coop {
        16 => &TILES_16,
        8 => &TILES_8,
        _ => &[],
    }
}

/// Workgroups that keep a GPU of middle size busy.
const WORKGROUPS_MIN: usize = 64;

/// The tile for a product, or `None` where the device has no such matrices, where the tokens are too few,
/// and where rounding to f16 would lose digits that somebody asked for.
pub(super) fn choose(caps: &Caps, x: Tensor, weight: &PackedWeight) -> Option<CoopTile> {
    let exact = x.dtype != Dtype::F16 || weight.format.name == "F32";
    if caps.software() || x.n_rows() <= MATVEC_TOKENS_MAX || exact {
        return None;
    }
    let fits = |tile: &&CoopTile| {
        tile.bytes() <= caps.workgroup_bytes_max && tile.n_lanes(caps) <= caps.workgroup_lanes_max
    };
    let full = |tile: &&CoopTile| {
        let tokens = x.n_rows().div_ceil(tile.n_tokens() as usize);
        tokens * weight.n_rows.div_ceil(tile.n_rows() as usize) >= WORKGROUPS_MIN
    };
    let fitting = || tiles(caps.cooperative).iter().filter(fits);
    fitting().find(full).or_else(|| fitting().next_back()).copied()
}

pub(super) fn record(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    tile: CoopTile,
) -> Result<Tensor> {
    let out = matvec::output(g, x, weight, bias, epilogue, false)?;
    let n_lanes = tile.n_lanes(g.caps());
    let step_quads = tile.step_mats * tile.coop / 4;
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let none = g.none();
        let launch = g
            .launch(&MATMUL_COOP)
            .weight(&weight.name, weight.format, chunk)
            .role(&ACTIVATIONS, roles::real_name(x.dtype))
            .role(&COOP, if tile.coop == 16 { "size_16" } else { "size_8" })
            .config("HAS_BIAS", bias.is_some())
            .config("MAT_COLS", tile.mat_cols)
            .config("MAT_ROWS", tile.mat_rows)
            .config("STEP_MATS", tile.step_mats)
            .config("SUB_COLS", tile.sub_cols)
            .config("SUB_ROWS", tile.sub_rows)
            .config("WG_SIZE", n_lanes)
            .config("W_LOADS", (tile.n_rows() * step_quads).div_ceil(n_lanes))
            .config("X_LOADS", (tile.n_tokens() * step_quads).div_ceil(n_lanes))
            .params(&out.params(x, chunk))
            .patch_rows("n_tokens", x)
            .read(bias.unwrap_or(none))
            .read(x);
        let rows = (chunk.n_rows as u32).div_ceil(tile.n_rows());
        out.bind(launch, i)
            .grid([x.row_extent(tile.n_tokens()), Extent::Fixed(rows), Extent::Fixed(1)])
            .terms(x.n_columns)
            .record()?;
    }
    Ok(out.y)
}

/// None where the device has no cooperative matrices.
fn cases(caps: &Caps) -> Vec<Case> {
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
    let q8 = format::by_name("Q8_0").expect("a known format");
    let f32 = format::by_name("F32").expect("a known format");
    for &tile in tiles(caps.cooperative) {
        add(q8, [33, 68, 96], Dtype::F16, Kind::Store, tile);
    }
    if let Some(&tile) = tiles(caps.cooperative).last() {
        for format in &FORMATS {
            let n_columns = if format.block_len == 256 { 512 } else { 544 };
            add(format, [5, 20, n_columns], Dtype::F16, Kind::Store, tile);
        }
        add(q8, [3, 24, 64], Dtype::F16, Kind::Activate(Activation::Gelu), tile);
        add(q8, [3, 24, 64], Dtype::F32, Kind::Gated(Activation::Silu), tile);
        add(q8, [17, 28, 64], Dtype::F32, Kind::Residual, tile);
        add(q8, [9, 28, 64], Dtype::F16, Kind::Bias, tile);
        add(q8, [1, 40, 64], Dtype::F16, Kind::Chunks, tile);
        add(f32, [33, 10, 172], Dtype::F16, Kind::Store, tile);
    }
    cases
}
