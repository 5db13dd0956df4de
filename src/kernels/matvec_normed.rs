//! Matrix product of normalised tokens. The maths is in `shaders/matvec_normed.wgsl`.

use super::matvec::{self, Epilogue, Kind, Matvec, linear, norm_after, product_case};
use super::rms_norm::rms_norm;
use super::roles::{self, ACTIVATION, Activation, CLUSTER, DOTS, EPILOGUE, INPUT, REAL, WEIGHT};
use super::shape::Shape;
use crate::error::{Error, Result};
use crate::gpu::{Caps, Extent};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, PackedWeight, Rows, Tensor, params, wgsl};
use crate::tensor::{FORMATS, format};

pub static MATVEC_NORMED: Kernel = Kernel {
    name: "matvec_normed",
    wgsl: wgsl!("matvec_normed"),
    roles: &[&WEIGHT, &DOTS, &INPUT, &CLUSTER, &EPILOGUE, &ACTIVATION, &REAL],
    params: Normed::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Normed {
        n_tokens: u32,
        n_quads: u32,
        n_blocks: u32,
        n_groups: u32,
        first_group: u32,
        y_pitch: u32,
        eps: f32,
    }
}

/// What a matrix product reads.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    Plain(Tensor),
    /// gain * x / rms(x), which the products compute themselves. x must not change before they run.
    Normed {
        x: Tensor,
        gain: Tensor,
        eps: f32,
    },
}

impl Input {
    pub fn rows(&self) -> Rows {
        match self {
            Input::Plain(x) | Input::Normed { x, .. } => x.rows,
        }
    }

    /// [`linear`] of this input.
    pub fn linear(
        self,
        g: &mut Graph,
        weight: &PackedWeight,
        bias: Option<Tensor>,
        epilogue: Epilogue,
    ) -> Result<Tensor> {
        match self {
            Input::Plain(x) => linear(g, x, weight, bias, epilogue),
            Input::Normed { x, gain, eps } => {
                let cluster = roles::cluster(g.caps());
                // Two groups share each activation, whose gain must be read, too.
                let shape = Shape { groups: 2, cols: 1, clusters: 8, cluster };
                record(g, x, gain, eps, weight, bias, epilogue, shape)
            }
        }
    }
}

/// gain * x / rms(x), stored as `dtype`, left to the products that read it (on GPUs for one token, where
/// a launch costs more than each cluster's reading the gain) or done by the product before (on software
/// devices for few tokens). Shapes: as [`rms_norm`].
pub fn normed(g: &mut Graph, x: Tensor, gain: Tensor, eps: f32, dtype: Dtype) -> Result<Input> {
    if !g.caps().software() && x.n_rows() <= TOKENS_MAX && x.n_columns.is_multiple_of(32) {
        return Ok(Input::Normed { x, gain, eps });
    }
    if let Some(y) = norm_after(g, x, gain, eps, dtype)? {
        return Ok(Input::Plain(y));
    }
    rms_norm(g, x, gain, eps, dtype).map(Input::Plain)
}

/// Tokens for which products normalise their input.
const TOKENS_MAX: usize = 1;

#[expect(clippy::too_many_arguments, reason = "a norm and a product in one")]
fn record(
    g: &mut Graph,
    x: Tensor,
    gain: Tensor,
    eps: f32,
    weight: &PackedWeight,
    bias: Option<Tensor>,
    epilogue: Epilogue,
    shape: Shape,
) -> Result<Tensor> {
    g.expect(gain, 1, x.n_columns)?;
    if x.dtype != Dtype::F32 || !x.n_columns.is_multiple_of(32) {
        return Err(Error::Gpu(format!(
            "{}: a product normalises f32 tokens of whole blocks of 32, not {:?} of {} columns",
            weight.name, x.dtype, x.n_columns
        )));
    }
    let out = matvec::output(g, x, weight, bias, epilogue, false)?;
    for (i, chunk) in weight.chunks.iter().enumerate() {
        let none = g.none();
        let p = out.params(x, chunk);
        let launch = g
            .launch(&MATVEC_NORMED)
            .weight(&weight.name, weight.format, chunk)
            .role(&DOTS, "floats")
            .role(&INPUT, roles::input(x))
            .role(&CLUSTER, shape.cluster)
            .config("CLUSTERS", shape.clusters)
            .config("COLS", shape.cols)
            .config("GROUPS", shape.groups)
            .config("HAS_BIAS", bias.is_some())
            .config("WG_SIZE", 8 * shape.clusters)
            .config("X_IS_BLOCKS", true)
            .params(&Normed {
                n_tokens: p.n_tokens,
                n_quads: p.n_quads,
                n_blocks: p.n_blocks,
                n_groups: p.n_groups,
                first_group: p.first_group,
                y_pitch: p.y_pitch,
                eps,
            })
            .patch_rows("n_tokens", x)
            .read(bias.unwrap_or(none))
            .read(x);
        let columns = (chunk.n_rows as u32 / 4).div_ceil(shape.groups * shape.clusters);
        out.bind(launch, i)
            .read(gain)
            .grid([Extent::Fixed(columns), x.row_extent(shape.cols), Extent::Fixed(1)])
            .terms(x.n_columns)
            .record()?;
    }
    Ok(out.y)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Normed = call.params();
    let plain = Matvec {
        n_tokens: p.n_tokens,
        n_quads: p.n_quads,
        n_blocks: p.n_blocks,
        n_groups: p.n_groups,
        first_group: p.first_group,
        y_pitch: p.y_pitch,
    };
    let (mut x, gain) = (call.floats(1), call.floats(3));
    for row in x.chunks_mut(4 * p.n_quads as usize) {
        let mean_square = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
        let scale = 1.0 / (mean_square + f64::from(p.eps)).sqrt();
        row.iter_mut().zip(&gain).for_each(|(x, gain)| *x *= gain * scale);
    }
    matvec::product_of(call, plain, &x, 4.0)
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |format, shape: [usize; 3], kind, cut| {
        let variant = format!("{cut:?}");
        cases.push(product_case(
            variant,
            format,
            shape,
            Dtype::F32,
            false,
            kind,
            move |g, x, weight, bias, epilogue| {
                let values: Vec<f32> = (0..x.n_columns).map(|i| 1.0 + (i as f32).sin()).collect();
                let gain = crate::graph::Inputs::new(0).floats(g, 1, x.n_columns, &values);
                record(g, x, gain, 1e-5, weight, bias, epilogue, cut)
            },
        ));
    };
    let cluster = roles::cluster(caps);
    let q8 = format::by_name("Q8_0").expect("a known format");
    for format in &FORMATS {
        add(format, [1, 20, 512], Kind::Store, Shape { groups: 2, cols: 1, clusters: 1, cluster });
    }
    for cluster in roles::cluster_variants(caps) {
        let shape = Shape { groups: 2, cols: 1, clusters: 8, cluster };
        add(q8, [1, 76, 96], Kind::Store, shape);
        let shape = Shape { groups: 1, cols: 2, clusters: 2, cluster };
        add(q8, [3, 24, 64], Kind::Gated(Activation::Silu), shape);
        add(q8, [3, 24, 64], Kind::Activate(Activation::GeluTanh), shape);
        add(q8, [2, 28, 64], Kind::Bias, shape);
        add(q8, [2, 40, 64], Kind::Chunks, shape);
    }
    cases
}
