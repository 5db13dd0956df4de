//! What a device reaches: seconds of a list of launches, and the best rates there are to compare with.

use super::{Epilogue, linear, peak_fma};
use crate::error::Result;
use crate::gpu::{Clock, Gpu, Sizes, Slice};
use crate::graph::{Dtype, Graph, Inputs, Program, Scratch};
use crate::tensor::Format;

/// The sizes of programs whose rows do not depend on them.
pub const ONE: Sizes = Sizes { n_tokens: 1, n_outputs: 1, n_context: 1 };

/// Seconds of one replay, by the median of five submissions that together take `seconds` or a little more.
/// On software devices: of CPU time, all threads together.
pub fn seconds_of(gpu: &Gpu, program: &Program, sizes: Sizes, seconds: f64) -> Result<f64> {
    gpu.seconds(&program.plan, &sizes, 1)?;
    let once = gpu.seconds(&program.plan, &sizes, 3)?;
    let n = ((seconds / 5.0 / once.max(1e-9)) as usize).clamp(1, 2000);
    let times = (0..5).map(|_| gpu.seconds(&program.plan, &sizes, n));
    let mut times = times.collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[2])
}

/// Bytes read and written per second by copies between buffers.
pub fn copy_bandwidth(gpu: &Gpu) -> Result<f64> {
    let len: u64 = if gpu.caps().software() { 64 << 20 } else { 512 << 20 };
    let (from, to) = (gpu.buffer("copy from", len)?, gpu.buffer("copy to", len)?);
    let from = Slice { buffer: from, offset: 0, len };
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        gpu.wait()?;
        let clock = Clock::start(gpu);
        let mut submission = gpu.begin();
        for _ in 0..4 {
            submission.copy(&from, &to, 0);
        }
        submission.submit()?;
        gpu.wait()?;
        best = best.min(clock.seconds());
    }
    // Each byte is read and written.
    Ok(8.0 * len as f64 / best)
}

/// Operations per second of multiply-adds in registers.
pub fn best_arithmetic(gpu: &Gpu, seconds: f64) -> Result<f64> {
    let mut graph = Graph::new(gpu.caps());
    let (workgroups, rounds) = if gpu.caps().software() { (256, 2048) } else { (8192, 4096) };
    let operations = peak_fma(&mut graph, workgroups, rounds)?;
    let program = graph.build(gpu, &mut Scratch::default())?;
    Ok(operations / seconds_of(gpu, &program, ONE, seconds)?)
}

/// Seconds of a dispatch that does nothing much.
pub fn empty_dispatch(gpu: &Gpu, seconds: f64) -> Result<f64> {
    let mut graph = Graph::new(gpu.caps());
    peak_fma(&mut graph, 1, 1)?;
    let program = graph.build(gpu, &mut Scratch::default())?;
    seconds_of(gpu, &program, ONE, seconds)
}

/// Operations per second of the product of a square matrix in `format` with `n_tokens` columns, and the
/// width of the matrix.
pub fn product_rate(
    gpu: &Gpu,
    format: &'static Format,
    n_tokens: usize,
    seconds: f64,
) -> Result<(f64, usize)> {
    let n = if gpu.caps().software() { 1024 } else { 4096 };
    let mut g = Graph::new(gpu.caps());
    let mut inputs = Inputs::new(1);
    let x = inputs.tensor(&mut g, n_tokens, n, Dtype::F16);
    let weight = inputs.weight(format, n, n, 1 << 20)?;
    linear(&mut g, x, &weight, None, Epilogue::Store)?;
    let program = g.build(gpu, &mut Scratch::default())?;
    Ok((2.0 * (n * n * n_tokens) as f64 / seconds_of(gpu, &program, ONE, seconds)?, n))
}
