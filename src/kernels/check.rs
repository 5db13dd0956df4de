//! Every case of a kernel against its twin, on a device.

use crate::error::Result;
use crate::gpu::{Caps, Gpu};
use crate::graph::{Graph, Inputs, Kernel, Scratch};

/// How a kernel did.
#[derive(Debug, Clone)]
pub struct Report {
    pub kernel: &'static str,
    pub n_cases: usize,
    pub n_launches: usize,
    /// The largest error, as a share of what rounding explains.
    pub worst: f64,
    pub seconds: f64,
    pub failures: Vec<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:18} {:4} cases {:5} launches, largest error {:.2} of the tolerance, {:5.1} s, {}",
            self.kernel,
            self.n_cases,
            self.n_launches,
            self.worst,
            self.seconds,
            if self.failures.is_empty() {
                "ok".to_owned()
            } else {
                format!("{} FAILURES", self.failures.len())
            }
        )
    }
}

/// Runs every case of `kernel` and compares each launch with its twin.
///
/// A case that cannot be recorded, compiled or run is a failure of the report, not an error.
pub fn check(gpu: &Gpu, kernel: &'static Kernel) -> Result<Report> {
    check_with(gpu, gpu.caps(), kernel)
}

/// As [`check`], recorded as if the device had these capabilities.
pub fn check_with(gpu: &Gpu, caps: &Caps, kernel: &'static Kernel) -> Result<Report> {
    let start = std::time::Instant::now();
    let cases = (kernel.cases)(caps);
    let mut report = Report {
        kernel: kernel.name,
        n_cases: cases.len(),
        n_launches: 0,
        worst: 0.0,
        seconds: 0.0,
        failures: Vec::new(),
    };
    for (seed, case) in cases.iter().enumerate() {
        let mut graph = Graph::new(caps);
        let mut inputs = Inputs::new(seed as u64);
        let recorded = (case.record)(&mut graph, &mut inputs);
        let program = recorded.and_then(|()| graph.build(gpu, &mut Scratch::default()));
        let checked = program.and_then(|program| {
            program.check(gpu, &case.sizes, |difference| {
                report.n_launches += 1;
                report.worst = report.worst.max(difference.compared.worst);
                if !difference.compared.ok() {
                    report.failures.push(format!("{} {}, seed {seed}: {difference}", kernel.name, case.name));
                }
                true
            })
        });
        if let Err(error) = checked {
            report.failures.push(format!("{} {}, seed {seed}: {error}", kernel.name, case.name));
        }
    }
    gpu.check()?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}
