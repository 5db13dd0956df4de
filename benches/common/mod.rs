//! The device of all groups, and how its work is timed.

use std::time::{Duration, Instant};

use aquatint::gpu::{Gpu, Options, Sizes};
use aquatint::graph::Program;

pub fn open() -> Gpu {
    let gpu = Gpu::open(&Options::default()).expect("an adapter");
    eprintln!("adapter: {}", gpu.adapter());
    gpu
}

/// The time of `n` replays in one submission, from sending it until the device is done.
pub fn replays(gpu: &Gpu, program: &Program, sizes: &Sizes, n: u64) -> Duration {
    gpu.wait().expect("a device that works");
    let start = Instant::now();
    let mut submission = gpu.begin();
    for _ in 0..n {
        submission.replay(&program.plan, sizes);
    }
    submission.submit().expect("a device that works");
    gpu.wait().expect("a device that works");
    start.elapsed()
}
