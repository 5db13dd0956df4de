//! The best column of each part of each row. The maths is in `shaders/argmax.wgsl`.

use super::roles::{self, LANES, SCORE};
use super::sampling::{SlotSampling, pcg3d};
use crate::error::Result;
use crate::gpu::{Caps, Extent, Size, Sizes};
use crate::graph::{Access, Call, Case, Dtype, Graph, Kernel, Rows, Tensor, params, wgsl};

pub static ARGMAX: Kernel = Kernel {
    name: "argmax",
    wgsl: wgsl!("argmax"),
    roles: &[&LANES, &SCORE],
    params: Argmax::LAYOUT,
    twin,
    cases,
};

params! {
    /// Mirrors `Params` in the shader.
    pub struct Argmax { n_columns: u32, pitch: u32 }
}

/// What makes a column the best.
#[derive(Debug, Clone, Copy)]
pub enum Score {
    /// The logit.
    Greedy,
    /// A draw from the softmax of what reaches the thresholds.
    Sampled { settings: Tensor, slots: Tensor, positions: Tensor, thresholds: Tensor },
}

/// The best of each part of each row. Shapes: (n_rows, n_parts).
#[derive(Debug, Clone, Copy)]
pub struct Best {
    pub value: Tensor,
    pub column: Tensor,
}

/// Records the best column of each part of each row of `x: (n_rows, n_columns)`, f32.
pub fn argmax(g: &mut Graph, x: Tensor, score: Score) -> Result<Best> {
    // Few lanes go through more each.
    let per_workgroup = if g.caps().software() { 1024 } else { 512 };
    let variant = roles::lanes(g.caps());
    record(g, x, score, per_workgroup, variant)
}

fn record(
    g: &mut Graph,
    x: Tensor,
    score: Score,
    per_workgroup: u32,
    (lanes, wg_size): (&'static str, u32),
) -> Result<Best> {
    let n_parts = (x.pitch() as u32 / 4).div_ceil(per_workgroup);
    let value = g.temp("best", x.rows, n_parts as usize, Dtype::F32);
    let column = g.temp("best column", x.rows, n_parts as usize, Dtype::U32);
    let mut launch = g
        .launch(&ARGMAX)
        .role(&LANES, lanes)
        .role(&SCORE, if matches!(score, Score::Greedy) { "greedy" } else { "sampled" })
        .config("PER_WORKGROUP", per_workgroup)
        .config("WG_SIZE", wg_size)
        .params(&Argmax { n_columns: x.n_columns as u32, pitch: value.pitch() as u32 })
        .read(x)
        .write(value)
        .write(column);
    if let Score::Sampled { settings, slots, positions, thresholds } = score {
        for tensor in [settings, slots, positions, thresholds] {
            launch = launch.bind(2, tensor, Access::Read);
        }
    }
    launch.grid([x.row_extent(1), Extent::Fixed(n_parts), Extent::Fixed(1)]).record()?;
    Ok(Best { value, column })
}

fn twin(call: &mut Call) -> Result<()> {
    let p: Argmax = call.params();
    let per_part = 4 * call.config_usize("PER_WORKGROUP")?;
    let sampled = call.role("score") == "sampled";
    let (n, pitch) = (p.n_columns as usize, call.pitch(0));
    let (x, mut best, mut columns) = (call.floats(0), call.floats(1), call.words(2).to_vec());
    let thresholds = if sampled { call.floats(6) } else { Vec::new() };
    let mut scales: Vec<f64> = best.iter().map(|v| v.abs()).collect();
    for t in 0..call.n_rows(0) {
        let row = &x[t * pitch..t * pitch + n];
        let score = |c: usize| {
            if !sampled {
                return row[c];
            }
            let settings: &[SlotSampling] = bytemuck::cast_slice(call.words(3));
            let s = settings[call.words(4)[t] as usize];
            if s.temperature == 0.0 {
                return row[c];
            }
            if row[c] < thresholds[4 * t] {
                return f64::NEG_INFINITY;
            }
            let bits = pcg3d([s.seed, call.words(5)[t], c as u32])[0] >> 9;
            let u = (f64::from(bits) + 0.5) / 8_388_608.0;
            row[c] / f64::from(s.temperature) - (-u.ln()).ln()
        };
        for part in 0..n.div_ceil(per_part) {
            let first = part * per_part;
            let mut winner = (f64::NEG_INFINITY, first);
            for c in first..n.min(first + per_part) {
                if score(c) > winner.0 {
                    winner = (score(c), c);
                }
            }
            let at = t * p.pitch as usize + part;
            best[at] = winner.0.max(f64::from(-3.4e38f32));
            // Noise is a logarithm of a logarithm near 1, whose error is absolute.
            scales[at] = if winner.0.is_finite() { 8.0 * (winner.0.abs() + 16.0) } else { 1e38 };
            columns[at] = winner.1 as u32;
        }
    }
    call.set_with_scales(1, best, scales);
    call.set_words(2, columns);
    Ok(())
}

fn cases(caps: &Caps) -> Vec<Case> {
    let mut cases = Vec::new();
    for variant in roles::lanes_variants(caps) {
        for sampled in [false, true] {
            for n_columns in [1000, 67, 3] {
                let sizes = Sizes { n_outputs: 3, ..Default::default() };
                let name = format!("3x{n_columns} sampled {sampled} {}", variant.0);
                cases.push(Case::new(name, sizes, move |g, inputs| {
                    let x = inputs.tensor(g, Rows::up_to(3, Size::Outputs), n_columns, Dtype::F32);
                    let mut settings = [SlotSampling { temperature: 0.8, seed: 7, ..Default::default() }; 3];
                    settings[1].temperature = 0.0;
                    settings[2].seed = 12345;
                    let score = if sampled {
                        Score::Sampled {
                            settings: inputs.words(g, bytemuck::cast_slice(&settings).to_vec()),
                            slots: inputs.words(g, vec![2, 1, 0]),
                            positions: inputs.words(g, vec![9, 100, 4]),
                            thresholds: inputs.floats(
                                g,
                                3,
                                4,
                                &[0.5, 0., 0., 0., 0., 0., 0., 0., -9.0, 0., 0., 0.],
                            ),
                        }
                    } else {
                        Score::Greedy
                    };
                    record(g, x, score, 32, variant).map(|_| ())
                }));
            }
        }
    }
    cases
}
