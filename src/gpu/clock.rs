//! Time and memory, as this process has used them.

use std::time::{Duration, Instant};

use super::device::Gpu;

/// Measures the time that work on a device takes: on a software device that of all CPUs, which other
/// programs disturb less than the clock on the wall.
pub struct Clock {
    start: Instant,
    cpu: Option<f64>,
}

impl Clock {
    pub fn start(gpu: &Gpu) -> Clock {
        let cpu = if gpu.caps().software() { cpu_seconds() } else { None };
        Clock { start: Instant::now(), cpu }
    }

    pub fn seconds(&self) -> f64 {
        match self.cpu.zip(cpu_seconds()) {
            Some((start, end)) => end - start,
            _ => self.start.elapsed().as_secs_f64(),
        }
    }
}

/// Seconds of CPU time of all living threads of this process, where the system tells.
pub fn cpu_seconds() -> Option<f64> {
    // The first number of each thread's schedstat is its time on a CPU in nanoseconds.
    let mut nanoseconds = 0u64;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        // A thread may end while we look.
        let Ok(stat) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        nanoseconds += stat.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanoseconds as f64 * 1e-9)
}

/// How long this process has lived, to a hundredth of a second, where the system tells.
pub fn process_age() -> Option<Duration> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    let ticks: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some(Duration::from_secs_f64((now - ticks / TICKS_PER_SECOND).max(0.0)))
}
