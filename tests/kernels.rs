//! Every kernel, every variant, every case against its CPU twin, on whatever adapter there is.
//!
//! Fails where there is no adapter: a machine that runs the tests has at least a software driver.

use aquatint::gpu::{Gpu, Options};
use aquatint::graph::{Graph, Inputs, Scratch};
use aquatint::kernels;

#[test]
fn every_kernel_agrees_with_its_twin() {
    let gpu = Gpu::open(&Options::default()).expect("an adapter");
    eprintln!("{} {:?}", gpu.adapter(), gpu.caps());
    let only = std::env::var("KERNEL").unwrap_or_default();
    let mut failures = Vec::new();
    let mut n_cases = 0;
    for kernel in kernels::ALL.iter().filter(|kernel| kernel.name.contains(&only)) {
        let start = std::time::Instant::now();
        let cases = (kernel.cases)(gpu.caps());
        let (mut n_launches, mut worst) = (0, 0.0f64);
        for (seed, case) in cases.iter().enumerate() {
            n_cases += 1;
            let mut failed =
                |message: String| failures.push(format!("{} {}: {message}", kernel.name, case.name));
            let mut graph = Graph::new(gpu.caps());
            let mut inputs = Inputs::new(seed as u64);
            if let Err(error) = (case.record)(&mut graph, &mut inputs) {
                failed(error.to_string());
                continue;
            }
            let program = match graph.build(&gpu, &mut Scratch::default()) {
                Ok(program) => program,
                Err(error) => {
                    failed(error.to_string());
                    continue;
                }
            };
            let checked = program.check(&gpu, &case.sizes, |difference| {
                n_launches += 1;
                worst = worst.max(difference.compared.worst);
                if !difference.compared.ok() {
                    failed(format!("seed {seed}: {difference}"));
                }
                true
            });
            if let Err(error) = checked {
                failed(error.to_string());
            }
        }
        eprintln!(
            "{:20} {:4} cases {n_launches:5} launches, worst error {worst:.2} of the tolerance, {:.1} s",
            kernel.name,
            cases.len(),
            start.elapsed().as_secs_f64()
        );
        assert!(!cases.is_empty(), "{} has no cases", kernel.name);
    }
    let total = failures.len();
    failures.truncate(20);
    assert!(failures.is_empty(), "{total} failures of {n_cases} cases:\n{}", failures.join("\n"));
}
