//! Matrix product for few or many tokens. The maths is in `shaders/matvec.wgsl`. The twin and the cases here
//! serve all matrix products.

use super::inputs;
use super::matmul;
use super::matmul_coop;
use super::matmul_i8;
use super::quantise_rows::quantise_rows;
use super::rms_norm::normed_row;
use super::roles::{
    self, ACTIVATION, AFTER, Activation, CLUSTER, DOTS, EPILOGUE, INPUT, REAL, ROWS, SUMS, WEIGHT,
};
use super::shape::{Shape, candidates};
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{
    Call, Case, Dtype, Graph, Kernel, Launch, LaunchBuilder, PackedWeight, Rows, Tensor, WeightChunk, params,
    wgsl,
};
use crate::tensor::format::BAND;
use crate::tensor::{FORMATS, format};

pub static MATVEC: Kernel = Kernel {
    name: "matvec",
    wgsl: wgsl!("matvec"),
    roles: &[&WEIGHT, &DOTS, &ROWS, &INPUT, &CLUSTER, &SUMS, &EPILOGUE, &ACTIVATION, &REAL, &AFTER],
    params: Matvec::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Matvec {
        n_tokens: u32,
        n_quads: u32,
        n_blocks: u32,
        n_groups: u32,
        first_group: u32,
        y_pitch: u32,
    }
}

/// What a matrix product does with its result v, of shape (n_tokens, n_rows).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Epilogue {
    /// y = v. The result is f32.
    Store,
    /// Writes v into the columns from `first` on of a tensor, f32. `first` is a multiple of 4.
    StoreAt { y: Tensor, first: usize },
    /// y += v, in place, f32. Returns y.
    Residual { y: Tensor },
    /// y = f(v), stored as `dtype`.
    Activate { activation: Activation, dtype: Dtype },
    /// y = f(gate) * up, stored as `dtype`, of shape (n_tokens, n_rows / 2). The rows of the weight
    /// alternate: gate row, up row.
    Gated { activation: Activation, dtype: Dtype },
}

/// Records `f(weight x + bias)` and returns the result.
///
/// Shapes: `x: (n_tokens, n_columns)`, `weight: (n_rows, n_columns)`, `bias: (1, n_rows)`.
/// Fails if they disagree, or if n_columns is not a multiple of 4.
pub fn linear(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
) -> Result<Tensor> {
    if let Some(tile) = matmul_coop::choose(g.caps(), x, weight) {
        return matmul_coop::record(g, x, weight, bias, epilogue, tile);
    }
    if let Some(tile) = matmul_i8::choose(g.caps(), x, weight) {
        return matmul_i8::record(g, x, weight, bias, epilogue, tile);
    }
    if let Some(tile) = matmul::choose(g.caps(), x, weight) {
        return matmul::record(g, x, weight, bias, epilogue, tile);
    }
    let best = inputs::input_dtype(g, x.dtype, &[weight.format]);
    let x = match best != x.dtype && x.n_columns.is_multiple_of(32) {
        true => quantise_rows(g, x)?,
        false => x,
    };
    let shape = pick(g, x, weight, &epilogue);
    record(g, x, weight, bias, epilogue, shape)
}

/// The shape that was measured to be fastest on this device, else that of the table; none that failed.
fn pick(g: &Graph, x: Tensor, weight: &PackedWeight, epilogue: &Epilogue) -> Shape {
    let shapes = candidates(g.caps(), weight.n_rows, x.n_rows());
    let tuning = g.tuning();
    let usable = |shape: &&Shape| !tuning.has_failed(&shape.variant(weight.format));
    let tuned = tuning.choice(&key(weight, epilogue.role(), x.dtype, x.n_rows()));
    let tuned = shapes.iter().find(|shape| tuned == Some(shape.variant(weight.format).as_str()));
    // Where all have failed, the checks will say so.
    *tuned.filter(usable).or_else(|| shapes.iter().find(usable)).unwrap_or(&shapes[0])
}

/// What a choice of shape depends on.
pub(super) fn key(weight: &PackedWeight, role: &str, dtype: Dtype, n_tokens: usize) -> String {
    let PackedWeight { format, n_rows, n_columns, .. } = weight;
    format!("matvec {} {n_rows}x{n_columns} x {n_tokens} {role} {}", format.name, roles::real_name(dtype))
}

impl Epilogue {
    /// The file that plays the role.
    fn role(&self) -> &'static str {
        match self {
            Epilogue::Store | Epilogue::StoreAt { .. } => "store",
            Epilogue::Residual { .. } => "residual",
            Epilogue::Activate { .. } => "activate",
            Epilogue::Gated { .. } => "gated",
        }
    }
}

/// Where the result of a product goes.
pub(super) struct Output {
    /// The file that plays `epilogue`.
    pub role: &'static str,
    pub activation: Option<Activation>,
    pub y: Tensor,
    /// The first row of the weight in y.
    first: usize,
    /// From one row of y to the next, in units of the epilogue.
    y_pitch: usize,
    /// Whether the product writes all of y.
    whole: bool,
}

/// Checks shapes and makes the tensor that `epilogue` writes. `in_fours`: neighbouring lanes finish 4
/// neighbouring groups, from a multiple of 4 on.
pub(super) fn output(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    in_fours: bool,
) -> Result<Output> {
    g.expect_quads(x)?;
    let (n_rows, n_columns) = (weight.n_rows, weight.n_columns);
    if x.n_columns != n_columns {
        return Err(Error::tensor(
            &weight.name,
            format!("has shape ({n_rows}, {n_columns}), but its input has {} columns", x.n_columns),
        ));
    }
    if let Some(bias) = bias {
        g.expect(bias, 1, n_rows)?;
    }
    let (role, activation, y, first, y_pitch) = match epilogue {
        Epilogue::Store => {
            let y = g.temp(&weight.name, x.rows, n_rows, Dtype::F32);
            ("store", None, y, 0, y.pitch() / 4)
        }
        Epilogue::StoreAt { y, first } => ("store", None, y, first, y.pitch() / 4),
        Epilogue::Residual { y } => {
            g.expect(y, x.n_rows(), n_rows)?;
            ("residual", None, y, 0, y.pitch() / 4)
        }
        Epilogue::Activate { activation, dtype } => {
            let y = activations(g, &weight.name, x.rows, n_rows, dtype, in_fours);
            ("activate", Some(activation), y, 0, y.pitch() / 4)
        }
        Epilogue::Gated { activation, dtype } => {
            if !n_rows.is_multiple_of(4) {
                return Err(Error::tensor(
                    &weight.name,
                    format!("{n_rows} gated rows are not a multiple of 4"),
                ));
            }
            let y = activations(g, &weight.name, x.rows, n_rows / 2, dtype, in_fours);
            ("gated", Some(activation), y, 0, y.pitch() / 2)
        }
    };
    let whole = role == "store" && matches!(epilogue, Epilogue::Store) || activation.is_some();
    Ok(Output { role, activation, y, first, y_pitch, whole })
}

/// What `epilogue` writes for other products, an image where lanes finish whole octets.
fn activations(
    g: &mut Graph,
    name: &str,
    rows: Rows,
    n_columns: usize,
    dtype: Dtype,
    in_fours: bool,
) -> Tensor {
    match in_fours {
        true => g.activations(name, rows, n_columns, dtype),
        false => g.temp(name, rows, n_columns, dtype),
    }
}

impl Output {
    pub fn params(&self, x: Tensor, chunk: &WeightChunk) -> Matvec {
        Matvec {
            n_tokens: x.n_rows() as u32,
            n_quads: x.n_columns as u32 / 4,
            n_blocks: chunk.n_blocks as u32,
            n_groups: chunk.n_rows as u32 / 4,
            first_group: ((self.first + chunk.first_row) / 4) as u32,
            y_pitch: self.y_pitch as u32,
        }
    }

    /// The epilogue's roles and y, the next binding, in launch `i` of the product.
    pub fn bind<'g>(&self, launch: LaunchBuilder<'g>, i: usize) -> LaunchBuilder<'g> {
        let mut launch = launch.role(&EPILOGUE, self.role);
        if let Some(activation) = self.activation {
            launch = launch.role(&ACTIVATION, activation.name()).role(&REAL, roles::real_name(self.y.dtype));
        }
        // A result in several parts keeps what the earlier launches wrote.
        if self.whole && i == 0 { launch.write(self.y) } else { launch.update(self.y) }
    }
}

pub(super) fn record(
    g: &mut Graph,
    x: Tensor,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    shape: Shape,
) -> Result<Tensor> {
    let out = output(g, x, weight, bias, epilogue, shape.groups.is_multiple_of(4))?;
    // Vectors of 4 sums that a cluster makes, a power of two.
    let values = shape.groups * shape.cols;
    let (at_once, half, kept) = (shape.at_once(g.caps()), shape.half(), shape.kept(g.caps()));
    let (parts, abreast) = (shape.parts(g.caps()), shape.abreast(g.caps()));
    let (rows, units) = (shape.rows(g.caps()), shape.groups / abreast);
    let totals = if at_once { abreast * kept } else { (values / 8).max(1) };
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let none = g.none();
        // Lanes that are a memory channel each gain nothing from sharing a block.
        let tail = match chunk.n_blocks % 8 {
            rest @ (1 | 2 | 4) if g.caps().software() => rest as u32,
            _ => 0,
        };
        let (dots, sums) = match x.dtype {
            Dtype::Q8Sums => inputs::byte_dots(weight.format),
            _ => ("floats", 1),
        };
        let mut launch = g
            .launch(&MATVEC)
            .weight(&weight.name, weight.format, chunk)
            .role(&DOTS, dots)
            .role(&ROWS, rows)
            .role(&INPUT, roles::input(x))
            .role(&CLUSTER, shape.cluster)
            .role(&SUMS, if at_once { "at_once" } else { "at_end" })
            .role(&AFTER, "nothing")
            .config("CLUSTERS", shape.clusters)
            .config("COLS", shape.cols)
            .config("GROUPS", shape.groups)
            .config("TAIL", tail)
            .config("ABREAST", abreast)
            .config("UNITS", units)
            .config("BAND_UNITS", units.min(BAND as u32 / 4 / abreast))
            .config("TAIL_UNITS", (units * tail.max(1)).div_ceil(8))
            .config("HAS_BIAS", bias.is_some())
            .config("SUMS", sums)
            .config("WORDS", 4 / sums)
            .config("PARTS", parts)
            .config("HALF", half)
            .config("HALF_1", (half / 2).max(1))
            .config("SWAPS_1", if half * abreast > 1 { totals / 2 } else { 0 })
            .config("SWAPS_2", if half > 2 || abreast > 1 { totals / 2 } else { 0 })
            .config("STRIDE", half.min(2))
            .config("KEPT", kept)
            .config("TOTALS", totals)
            .config("VALUES", values)
            .config("VALUES_1", (values / 2).max(1))
            .config("VALUES_2", (values / 4).max(1))
            .config("WG_SIZE", 8 * shape.clusters)
            .config("X_IS_BLOCKS", x.n_columns.is_multiple_of(32))
            .params(&out.params(x, chunk))
            .patch_rows("n_tokens", x)
            .read(bias.unwrap_or(none))
            .read(x);
        launch = out.bind(launch, i);
        let columns = (chunk.n_rows as u32 / 4).div_ceil(shape.groups * shape.clusters);
        if shape.cluster == "shuffle" {
            let steps = chunk.n_blocks.div_ceil(8) + 1;
            let (parts, groups) = (parts as usize, (parts * units) as usize);
            let clusters = columns as usize * x.n_rows().div_ceil(shape.cols as usize);
            launch = launch.rounds(x.n_rows(), clusters * (steps * (1 + parts + 2 * groups) + 2 * groups));
        }
        launch
            .grid([Extent::Fixed(columns), x.row_extent(shape.cols), Extent::Fixed(1)])
            .terms(x.n_columns)
            .record()?;
    }
    Ok(out.y)
}

/// `gain * x / rms(x)` by the product that has just been recorded, if it was the last to change x:
/// its last cluster to finish normalises all of x. None where a launch of its own must.
pub(super) fn norm_after(
    g: &mut Graph,
    x: Tensor,
    gain: Tensor,
    eps: f32,
    dtype: Dtype,
) -> Result<Option<Tensor>> {
    let whole = |launch: &Launch| {
        let role = |name| launch.roles.iter().find(|(role, _)| *role == name).map(|(_, choice)| *choice);
        launch.kernel.name == MATVEC.name
            && (role("epilogue"), role("after")) == (Some("residual"), Some("nothing"))
            && launch.args[2].tensor == x
            && launch.weight.as_ref().is_some_and(|weight| weight.n_rows == x.n_columns)
    };
    // More tokens than these are worth a launch over all cores.
    let few = x.n_rows() <= NORM_TOKENS_MAX && x.n_columns.is_multiple_of(4);
    let caps = g.caps();
    if !few || !caps.shared_process() || !caps.clusters() || !g.launches().last().is_some_and(whole) {
        return Ok(None);
    }
    g.expect(gain, 1, x.n_columns)?;
    let y = g.activations("norm", x.rows, x.n_columns, dtype);
    let arrivals = g.arrivals();
    let Some(launch) = g.reopen() else { return Ok(None) };
    launch
        .role(&AFTER, "rms_norm")
        .role(&REAL, roles::real_name(y.dtype))
        .config("EPS", eps)
        .read(gain)
        .write(y)
        .update(arrivals)
        .rounds(x.n_rows(), x.n_rows() * (1 + 2 * x.n_columns.div_ceil(32)))
        .record()?;
    Ok(Some(y))
}

/// Tokens up to which a product may normalise its result.
const NORM_TOKENS_MAX: usize = 8;

fn twin(call: &mut Call) -> Result<()> {
    // The sums of a format with minimums or offsets cancel inside a block.
    product(call, 4.0)?;
    if call.role("after") == "rms_norm" {
        let eps = call.config("EPS")?;
        let (y, y_scales) = call.result(2);
        let (gain, mut normed) = (call.floats(3), call.floats(4));
        let n_columns = gain.len();
        let mut scales: Vec<f64> = normed.iter().map(|v| v.abs()).collect();
        let p: Matvec = call.params();
        for t in 0..p.n_tokens as usize {
            let row = t * n_columns..(t + 1) * n_columns;
            let (values, scale) = normed_row(&y[row.clone()], &gain, eps);
            // An error of y[c] counts as itself and, by the mean of the squares, in all other channels.
            let off = row.clone().map(|i| y_scales[i] * y_scales[i]).sum::<f64>() / n_columns as f64;
            for (c, i) in row.enumerate() {
                normed[i] = values[c];
                scales[i] =
                    (gain[c] * scale).abs() * y_scales[i] + values[c].abs() * (1.0 + scale * off.sqrt());
            }
        }
        call.set_with_scales(4, normed, scales);
        call.set_words(5, vec![0]);
    }
    Ok(())
}

/// The twin of all matrix products, whose errors are `coarse` times those of a plain f32 sum.
pub(super) fn product(call: &mut Call, coarse: f64) -> Result<()> {
    let (p, x) = (call.params(), call.floats(1));
    product_of(call, p, &x, coarse)
}

/// The same of an input that the kernel changes before it multiplies.
pub(super) fn product_of(call: &mut Call, p: Matvec, x: &[f64], coarse: f64) -> Result<()> {
    let has_bias = call.config("HAS_BIAS")? != 0.0;
    let activation = Activation::by_name(call.role("activation")).unwrap_or(Activation::Identity);
    let epilogue = call.role("epilogue");
    let (bias, mut y) = (call.floats(0), call.floats(2));
    let n_columns = 4 * p.n_quads as usize;
    let per_group = if epilogue.starts_with("gated") { 2 } else { 4 };
    let y_pitch = per_group * p.y_pitch as usize;
    let mut scales: Vec<f64> = y.iter().map(|v| v.abs()).collect();
    for group in 0..p.n_groups as usize {
        let rows: Vec<Vec<f32>> = (0..4).map(|r| call.weight_row(4 * group + r)).collect();
        let at = p.first_group as usize + group;
        for t in 0..p.n_tokens as usize {
            let x = &x[t * n_columns..(t + 1) * n_columns];
            let mut v = [0.0f64; 4];
            let mut scale = [0.0f64; 4];
            for (r, row) in rows.iter().enumerate() {
                for (w, x) in row.iter().zip(x) {
                    v[r] += f64::from(*w) * x;
                    scale[r] += (f64::from(*w) * x).abs();
                }
                if has_bias {
                    v[r] += bias[4 * at + r];
                    scale[r] += bias[4 * at + r].abs();
                }
            }
            let base = t * y_pitch + per_group * at;
            for i in 0..per_group {
                let (value, size) = match epilogue {
                    "residual" => (y[base + i] + v[i], y[base + i].abs() + scale[i]),
                    // The slope of each activation is at most 1.13.
                    "activate" => (activation.apply(v[i]), 1.2 * scale[i]),
                    "gated" => {
                        let (gate, up) = (activation.apply(v[2 * i]), v[2 * i + 1]);
                        let size = 1.2 * scale[2 * i] * up.abs() + gate.abs() * scale[2 * i + 1];
                        (gate * up, size)
                    }
                    _ => (v[i], scale[i]),
                };
                y[base + i] = value;
                scales[base + i] = coarse * size;
            }
        }
    }
    call.set_with_scales(2, y, scales);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let best = roles::cluster(caps);
    // Every format, as the device would run it and with many columns.
    for format in &FORMATS {
        for (n_tokens, cols, groups, images) in [(1, 1, 8, caps.images), (5, 4, 2, false)] {
            let shape = Shape { groups, cols, clusters: 1, cluster: best };
            // Three tiles of 8 blocks, the last narrower where the format has no super-blocks.
            let n_columns = if format.block_len == 256 { 768 } else { 544 };
            cases.push(case(format, n_tokens, 20, n_columns, Dtype::F16, Kind::Store, shape, images));
        }
    }
    let q8 = format::by_name("Q8_0").expect("a known format");
    // Activations in blocks of bytes, of every format that may meet them.
    for format in FORMATS.iter().filter(|format| caps.byte_blocks() && format.block_len > 1) {
        for (n_tokens, cols, groups) in [(1, 1, 8), (5, 4, 8), (9, 8, 8)] {
            let shape = Shape { groups, cols, clusters: 1, cluster: best };
            let n_columns = if format.block_len == 256 { 768 } else { 544 };
            cases.push(case(format, n_tokens, 20, n_columns, Dtype::Q8Sums, Kind::Store, shape, true));
        }
    }
    // Results that are normalised: several clusters, one and several tokens, rows that end a group early.
    for (n_tokens, groups, cols, clusters, dtype) in [
        (1, 8, 1, 1, Dtype::F16),
        (5, 4, 4, 2, Dtype::F16),
        (3, 4, 8, 1, Dtype::F32),
        (2, 8, 4, 1, Dtype::Q8Sums),
    ] {
        let shape = Shape { groups, cols, clusters, cluster: best };
        let name = format!("Q8_0 {n_tokens}x88x64 {dtype:?} normed {shape:?}");
        let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
        cases.push(Case::new(name, sizes, move |g, inputs| {
            let rows = Rows::up_to(n_tokens + 1, Size::Tokens);
            let x = inputs.tensor(g, rows, 64, Dtype::F16);
            let weight = inputs.weight(q8, 88, 64, usize::MAX / 2)?;
            let y = inputs.tensor(g, rows, 88, Dtype::F32);
            let gain = inputs.tensor(g, 1, 88, Dtype::F32);
            record(g, x, &weight, None, Epilogue::Residual { y }, shape)?;
            norm_after(g, y, gain, 1e-5, dtype).map(|_| ())
        }));
    }
    // Sums over the last 1 to 4 blocks of a row, several clusters, the last not full.
    for n_blocks in 9..=12 {
        for (n_tokens, cols, groups) in
            [(1, 1, 4), (1, 1, 8), (3, 2, 4), (3, 2, 16), (3, 4, 8), (5, 4, 16), (9, 8, 8), (9, 8, 16)]
        {
            let shape = Shape { groups, cols, clusters: 1, cluster: best };
            if shape.fits(caps) {
                cases.push(case(q8, n_tokens, 84, 32 * n_blocks, Dtype::F16, Kind::Store, shape, false));
            }
        }
    }
    let f32 = format::by_name("F32").expect("a known format");
    for cluster in roles::cluster_variants(caps) {
        for (groups, cols, clusters) in [(1, 1, 8), (1, 8, 8), (2, 2, 4), (4, 4, 1)] {
            let shape = Shape { groups, cols, clusters, cluster };
            cases.push(case(q8, 3, 36, 96, Dtype::F32, Kind::Store, shape, false));
        }
        let shape = Shape { groups: 2, cols: 2, clusters: 2, cluster };
        for activation in Activation::ALL {
            cases.push(case(q8, 3, 24, 64, Dtype::F16, Kind::Activate(activation), shape, false));
            cases.push(case(q8, 3, 24, 64, Dtype::F32, Kind::Gated(activation), shape, false));
        }
        cases.push(case(q8, 3, 24, 64, Dtype::F16, Kind::Gated(Activation::Silu), shape, false));
        // Results in images, where there are images: whole octets, the last cluster not full.
        for (groups, cols) in [(8, 2), (4, 8)] {
            let fours = Shape { groups, cols, clusters: 1, cluster };
            cases.push(case(q8, 3, 48, 64, Dtype::F16, Kind::Gated(Activation::Silu), fours, false));
            cases.push(case(q8, 3, 24, 64, Dtype::F16, Kind::Activate(Activation::Gelu), fours, false));
        }
        cases.push(case(q8, 2, 28, 64, Dtype::F32, Kind::Residual, shape, false));
        cases.push(case(q8, 2, 28, 64, Dtype::F16, Kind::Bias, shape, false));
        cases.push(case(q8, 2, 40, 64, Dtype::F16, Kind::Chunks, shape, false));
        // Widths that are no whole blocks, and a number of rows that is no whole group.
        cases.push(case(f32, 2, 10, 172, Dtype::F16, Kind::Store, shape, false));
        cases.push(case(f32, 2, 9, 36, Dtype::F32, Kind::Store, shape, false));
    }
    cases
}

/// What a case does with its result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Store,
    Activate(Activation),
    Gated(Activation),
    Residual,
    Bias,
    Chunks,
}

#[expect(clippy::too_many_arguments, reason = "one line per case in the list above")]
fn case(
    format: &'static crate::tensor::Format,
    n_tokens: usize,
    n_rows: usize,
    n_columns: usize,
    dtype: Dtype,
    kind: Kind,
    shape: Shape,
    images: bool,
) -> Case {
    let name = format!("{shape:?}");
    product_case(
        name,
        format,
        [n_tokens, n_rows, n_columns],
        dtype,
        images,
        kind,
        move |g, x, weight, bias, epilogue| record(g, x, weight, bias, epilogue, shape),
    )
}

/// Records a product on random inputs, in `images` or buffers; `record` gets x, the weight, the bias and the
/// epilogue.
#[expect(clippy::too_many_arguments, reason = "a product and the memory it is in")]
pub(super) fn product_case(
    variant: String,
    format: &'static crate::tensor::Format,
    [n_tokens, n_rows, n_columns]: [usize; 3],
    dtype: Dtype,
    images: bool,
    kind: Kind,
    record: impl Fn(&mut Graph, Tensor, &PackedWeight, Option<Tensor>, Epilogue) -> Result<Tensor>
    + Send
    + Sync
    + 'static,
) -> Case {
    let name = format!("{} {n_tokens}x{n_rows}x{n_columns} {dtype:?} {kind:?} {variant}", format.name);
    let sizes = Sizes { n_tokens: n_tokens as u32, ..Default::default() };
    Case::new(name, sizes, move |g, inputs| {
        let rows = Rows::up_to(n_tokens + 2, Size::Tokens);
        let x = match images {
            true => inputs.image(g, rows, n_columns, dtype),
            false => inputs.tensor(g, rows, n_columns, dtype),
        };
        let rows_max = if matches!(kind, Kind::Chunks) { 16 } else { usize::MAX / 2 };
        let mut weight = inputs.weight(format, n_rows, n_columns, rows_max)?;
        if images {
            weight = weight.in_images();
        }
        let bias = matches!(kind, Kind::Bias).then(|| inputs.tensor(g, 1, n_rows, Dtype::F32));
        let epilogue = match kind {
            Kind::Store | Kind::Bias | Kind::Chunks => Epilogue::Store,
            Kind::Activate(activation) => Epilogue::Activate { activation, dtype },
            Kind::Gated(activation) => Epilogue::Gated { activation, dtype },
            Kind::Residual => Epilogue::Residual { y: inputs.tensor(g, rows, n_rows, Dtype::F32) },
        };
        record(g, x, &weight, bias, epilogue).map(|_| ())
    })
}
