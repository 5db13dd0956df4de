//! How fast a device multiplies bytes, for choosing between products. The maths is in
//! `shaders/peak_dot.wgsl`.

use super::peak_fma::peak_fma;
use super::roles;
use crate::error::Result;
use crate::gpu::{Caps, Extent, Gpu, Sizes};
use crate::graph::{Call, Case, Dtype, Graph, Kernel, Scratch, params, wgsl};

pub static PEAK_DOT: Kernel =
    Kernel { name: "peak_dot", wgsl: wgsl!("peak_dot"), roles: &[], params: PeakDot::LAYOUT, twin, cases };

params! {
    /// Mirrors `Params` in the shader.
    pub struct PeakDot { a: u32, b: u32 }
}

/// Records `n_rounds` dot products of 32 words per lane. Returns the operations of one run.
fn peak_dot(g: &mut Graph, n_workgroups: u32, n_rounds: u32) -> Result<f64> {
    let (_, wg_size) = roles::lanes(g.caps());
    let y = g.temp("peak", 1, (n_workgroups * wg_size * 4) as usize, Dtype::U32);
    g.launch(&PEAK_DOT)
        .config("N_ROUNDS", n_rounds)
        .config("WG_SIZE", wg_size)
        .params(&PeakDot { a: 0x0305_fe7f, b: 0x0102_0304 })
        .write(y)
        .grid([Extent::Fixed(n_workgroups), Extent::Fixed(1), Extent::Fixed(1)])
        .record()?;
    Ok(f64::from(n_workgroups) * f64::from(wg_size) * f64::from(n_rounds) * 256.0)
}

/// How many times faster products of bytes must be, for what their scales cost.
const FASTER_MIN: f64 = 2.0;

/// The device with its speed at products of bytes measured, once for all clones of it: two kernels of a
/// millisecond or so. Software devices, which have no such instruction, are not measured.
pub fn probed(gpu: &Gpu) -> Result<Gpu> {
    if gpu.caps().software() {
        return Ok(gpu.clone());
    }
    let int8_dot = match gpu.int8_dot() {
        Some(known) => known,
        None => {
            let floats = rate(gpu, peak_fma)?;
            let bytes = rate(gpu, peak_dot)?;
            gpu.set_int8_dot(bytes > FASTER_MIN * floats)
        }
    };
    Ok(gpu.with_caps(Caps { int8_dot, ..gpu.caps().clone() }))
}

/// Operations per second, by the best of three runs.
fn rate(gpu: &Gpu, peak: fn(&mut Graph, u32, u32) -> Result<f64>) -> Result<f64> {
    let mut graph = Graph::new(gpu.caps());
    let operations = peak(&mut graph, 2048, 512)?;
    let program = graph.build(gpu, &mut Scratch::default())?;
    let sizes = Sizes::default();
    gpu.run(&program.plan, &sizes)?;
    gpu.wait()?;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = std::time::Instant::now();
        gpu.run(&program.plan, &sizes)?;
        gpu.wait()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(operations / best)
}

fn twin(call: &mut Call) -> Result<()> {
    let p: PeakDot = call.params();
    let n_rounds = call.config_usize("N_ROUNDS")?;
    let dot = |a: u32, b: u32| -> u32 {
        let pairs = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
        pairs.map(|(a, b)| i32::from(a as i8) * i32::from(b as i8)).sum::<i32>() as u32
    };
    let n = call.words(0).len() as u32;
    let value = |i: u32| {
        let chains = (0..8).map(|chain| {
            let first = (i / 4).wrapping_mul(2 * (i % 4) + 1).wrapping_add(chain);
            (0..n_rounds).fold(first, |x, _| dot(x, p.a).wrapping_add(p.b))
        });
        chains.fold(0, |all, x| all ^ x)
    };
    call.set_words(0, (0..n).map(value).collect());
    Ok(())
}

fn cases(_: &Caps) -> Vec<Case> {
    vec![Case::new("4 workgroups of 10 rounds", Sizes::default(), |g, _| peak_dot(g, 4, 10).map(|_| ()))]
}
