//! Matrix product for many tokens on GPUs. The maths is in `shaders/matmul.wgsl`.

use super::matvec::{self, Epilogue, Kind, Matvec, product_case};
use super::roles::{self, ACTIVATION, ACTIVATIONS, Activation, EPILOGUE, REAL, TILE, WEIGHT};
use crate::error::Result;
use crate::gpu::{Caps, Extent};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Tensor, wgsl};
use crate::tensor::{FORMATS, format};

pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    wgsl: wgsl!("matmul"),
    roles: &[&WEIGHT, &ACTIVATIONS, &TILE, &EPILOGUE, &ACTIVATION, &REAL],
    params: Matvec::LAYOUT,
    twin,
    cases,
};

/// The part of a product that one workgroup makes: 4 * groups * row_lanes rows, cols * col_lanes tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tile {
    /// Groups of 4 rows per lane.
    groups: u32,
    /// Tokens per lane.
    cols: u32,
    row_lanes: u32,
    col_lanes: u32,
    /// Quads of columns that are in workgroup memory at a time.
    step_quads: u32,
}

impl Tile {
    fn n_rows(&self) -> u32 {
        4 * self.groups * self.row_lanes
    }

    fn n_tokens(&self) -> u32 {
        self.cols * self.col_lanes
    }

    fn n_lanes(&self) -> u32 {
        self.row_lanes * self.col_lanes
    }

    /// Bytes of workgroup memory, with quads of `dtype`.
    fn bytes(&self, dtype: Dtype) -> u32 {
        let quad = 4 * dtype.words(4) as u32;
        (self.n_rows() + self.n_tokens()) * (self.step_quads + 1) * quad
    }

    fn workgroups(&self, n_tokens: usize, n_rows: usize) -> usize {
        n_tokens.div_ceil(self.n_tokens() as usize) * n_rows.div_ceil(self.n_rows() as usize)
    }
}

/// From the largest to the smallest. All fit 16 KiB of workgroup memory with tiles of f16; those of f32
/// take half as many columns at a time.
const TILES: [Tile; 3] = [
    Tile { groups: 2, cols: 4, row_lanes: 16, col_lanes: 16, step_quads: 8 },
    Tile { groups: 1, cols: 4, row_lanes: 16, col_lanes: 16, step_quads: 8 },
    Tile { groups: 1, cols: 4, row_lanes: 8, col_lanes: 8, step_quads: 8 },
];

/// Up to this many tokens, products are made without tiles.
pub(super) const MATVEC_TOKENS_MAX: usize = 8;

/// Workgroups that keep a GPU of middle size busy.
const WORKGROUPS_MIN: usize = 96;

/// The tile for a product, or `None` where a product without tiles is faster: few tokens, and software
/// devices, on which barriers cost most.
pub(super) fn choose(caps: &Caps, x: Tensor, weight: &PackedWeight) -> Option<Tile> {
    if caps.software() || x.n_rows() <= MATVEC_TOKENS_MAX {
        return None;
    }
    let tiles = TILES.map(|tile| match x.dtype {
        Dtype::F16 => tile,
        _ => Tile { step_quads: tile.step_quads / 2, ..tile },
    });
    let fits = |tile: &&Tile| {
        tile.bytes(x.dtype) <= caps.workgroup_bytes_max && tile.n_lanes() <= caps.workgroup_lanes_max
    };
    let full = |tile: &&Tile| tile.workgroups(x.n_rows(), weight.n_rows) >= WORKGROUPS_MIN;
    let fitting = || tiles.iter().filter(fits);
    fitting().find(full).or_else(|| fitting().next_back()).copied()
}

pub(super) fn record(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    tile: Tile,
) -> Result<Tensor> {
    let out = matvec::output(g, x, weight, bias, epilogue, false)?;
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let none = g.none();
        let launch = g
            .launch(&MATMUL)
            .weight(&weight.name, weight.format, chunk)
            .role(&ACTIVATIONS, roles::real_name(x.dtype))
            // What is stored as f16 already loses nothing by it, and weights little.
            .role(&TILE, roles::real_name(x.dtype))
            .config("COLS", tile.cols)
            .config("COL_LANES", tile.col_lanes)
            .config("GROUPS", tile.groups)
            .config("HAS_BIAS", bias.is_some())
            .config("ROW_LANES", tile.row_lanes)
            .config("STEP_QUADS", tile.step_quads)
            .config("WG_SIZE", tile.n_lanes())
            .config("W_LOADS", tile.n_rows() * tile.step_quads / tile.n_lanes())
            .config("X_LOADS", tile.n_tokens() * tile.step_quads / tile.n_lanes())
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

/// How much larger the errors of products are than those of f32 sums where weights are rounded to f16:
/// half a unit in the last of 11 digits each, against 2^-24 of a sum's size and the few roundings that
/// tolerances allow for.
pub(super) const F16_COARSE: f64 = 1024.0;

fn twin(call: &mut Call) -> Result<()> {
    let coarse = if call.role("tile") == "f16" { F16_COARSE } else { 4.0 };
    matvec::product(call, coarse)
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
    let tiny = Tile { groups: 1, cols: 2, row_lanes: 4, col_lanes: 2, step_quads: 8 };
    for format in &FORMATS {
        let n_columns = if format.block_len == 256 { 512 } else { 544 };
        add(format, [5, 20, n_columns], Dtype::F32, Kind::Store, tiny);
    }
    let q8 = format::by_name("Q8_0").expect("a known format");
    let f32 = format::by_name("F32").expect("a known format");
    for activation in Activation::ALL {
        add(q8, [3, 24, 64], Dtype::F16, Kind::Activate(activation), tiny);
        add(q8, [3, 24, 64], Dtype::F32, Kind::Gated(activation), tiny);
    }
    // The tiles as GPUs run them, with numbers of tokens around their sizes.
    for (tile, n_tokens) in TILES.into_iter().zip([65, 33, 17]) {
        add(q8, [n_tokens, 132, 96], Dtype::F16, Kind::Store, tile);
        let half = Tile { step_quads: 4, ..tile };
        add(f32, [n_tokens, 36, 36], Dtype::F32, Kind::Residual, half);
    }
    let small = TILES[2];
    add(q8, [9, 28, 64], Dtype::F16, Kind::Bias, small);
    add(q8, [1, 40, 64], Dtype::F16, Kind::Chunks, small);
    // Widths that are no whole blocks, and a number of rows that is no whole group.
    add(f32, [33, 10, 172], Dtype::F16, Kind::Store, small);
    cases
}
