//! Every kernel, every variant, every case against its CPU twin, on whatever adapter there is.
//!
//! Fails where there is no adapter: a machine that runs the tests has at least a software driver.
//! `KERNEL=name` runs only the kernels whose name contains it.

use aquatint::gpu::{Gpu, Options};
use aquatint::kernels;

#[test]
fn every_kernel_agrees_with_its_twin() {
    let gpu = Gpu::open(&Options::default()).expect("an adapter");
    eprintln!("{} {:?}", gpu.adapter(), gpu.caps());
    let only = std::env::var("KERNEL").unwrap_or_default();
    let mut failures = Vec::new();
    for kernel in kernels::ALL.iter().filter(|kernel| kernel.name.contains(&only)) {
        let report = kernels::check(&gpu, kernel).expect("the device works");
        eprintln!("{report}");
        let has_cases = kernel.name != "matmul_coop" || gpu.caps().cooperative > 0;
        assert_eq!(report.n_cases > 0, has_cases, "cases of {}", kernel.name);
        failures.extend(report.failures);
    }
    let n = failures.len();
    failures.truncate(20);
    assert!(failures.is_empty(), "{n} failures:\n{}", failures.join("\n"));
}
