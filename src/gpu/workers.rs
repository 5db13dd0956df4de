//! The threads of a software driver, each on a processor of its own.
//!
//! Such a driver wakes all of its threads for each dispatch. Two of them were often seen to take turns on one
//! processor while another had nothing to do, probably because Linux puts a thread that wakes where it last
//! ran, and looks for idle processors less often than dispatches begin. What one of the two waits for is then
//! what the other cannot do meanwhile.

use std::time::{Duration, Instant};

/// The name of the thread that opens a device. The driver's threads inherit it.
pub(super) const THREAD_NAME: &str = "aquatint-gpu";

/// Looks for the threads of a device that compute, until they are known.
#[derive(Debug)]
pub(super) struct Workers {
    /// How many there are. 0: nothing is left to do.
    n: usize,
    /// What each thread had computed some looks ago: what it compiled before is no sign.
    before: Vec<(i32, Duration)>,
    next: Instant,
    looks_left: u32,
}

/// Between two looks at the threads' times.
const EVERY: Duration = Duration::from_millis(20);
/// A device that did not do much until then, or has other threads than expected, is left alone.
const LOOKS: u32 = 500;
/// Looks after which threads are compared anew.
const LOOKS_COMPARED: u32 = 50;
/// What a thread must have computed to be told apart from those that only hand out work.
#[cfg(any(target_os = "linux", test))]
const BUSY: Duration = Duration::from_millis(20);

impl Workers {
    /// Of a device whose driver computes in `n` threads of this process, one for each processor. 0 for others.
    pub fn new(n: usize) -> Workers {
        Workers { n: if n > 1 { n } else { 0 }, before: Vec::new(), next: Instant::now(), looks_left: LOOKS }
    }

    /// Puts each thread on a processor of its own as soon as it is clear which they are.
    pub fn settle(&mut self) {
        if self.n == 0 || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        self.looks_left -= 1;
        let times = times();
        if spread(self.n, since(&times, &self.before)) || self.looks_left == 0 {
            self.n = 0;
        }
        if self.looks_left.is_multiple_of(LOOKS_COMPARED) {
            self.before = times;
        }
    }
}

/// What threads have computed since `before`.
fn since(times: &[(i32, Duration)], before: &[(i32, Duration)]) -> Vec<(i32, Duration)> {
    let then =
        |id: i32| before.iter().find(|thread| thread.0 == id).map_or(Duration::ZERO, |thread| thread.1);
    times.iter().map(|&(id, time)| (id, time.saturating_sub(then(id)))).collect()
}

/// Of threads with their computing times, the `n` that compute. None where that is not clear.
#[cfg(any(target_os = "linux", test))]
fn busiest(mut threads: Vec<(i32, Duration)>, n: usize) -> Option<Vec<i32>> {
    threads.sort_by_key(|&(id, time)| (std::cmp::Reverse(time), id));
    let least = threads.get(n.checked_sub(1)?)?.1;
    let next = threads.get(n).map_or(Duration::ZERO, |thread| thread.1);
    let clear = least >= BUSY && next <= least / 2;
    clear.then(|| threads[..n].iter().map(|thread| thread.0).collect())
}

/// Whether there was anything to do that is now done.
#[cfg(target_os = "linux")]
fn spread(n: usize, times: Vec<(i32, Duration)>) -> bool {
    use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return true };
    // Where processors are left over, the system may know better which are worth using.
    if allowed.count() as usize != n {
        return true;
    }
    let Some(workers) = busiest(times, n) else { return false };
    let processors = (0..CpuSet::MAX_CPU).filter(|&i| allowed.is_set(i));
    for (id, processor) in workers.into_iter().zip(processors) {
        let mut own = CpuSet::new();
        own.set(processor);
        // A thread that has just ended, or may not be moved, stays as it is.
        _ = sched_setaffinity(Pid::from_raw(id), &own);
    }
    true
}

#[cfg(not(target_os = "linux"))]
fn spread(_: usize, _: Vec<(i32, Duration)>) -> bool {
    true
}

#[cfg(not(target_os = "linux"))]
fn times() -> Vec<(i32, Duration)> {
    Vec::new()
}

/// The driver's threads of this process and how long each has computed. Empty where the system does not say.
#[cfg(target_os = "linux")]
fn times() -> Vec<(i32, Duration)> {
    let time = |id: i32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/task/{id}/{name}")).ok();
        if read("comm")?.trim_end() != THREAD_NAME {
            return None;
        }
        let nanoseconds = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some((id, Duration::from_nanos(nanoseconds)))
    };
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks.flatten().filter_map(|task| time(task.file_name().to_str()?.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(times: &[u64]) -> Vec<(i32, Duration)> {
        times.iter().enumerate().map(|(i, &ms)| (i as i32, Duration::from_millis(ms))).collect()
    }

    #[test]
    fn threads_that_compute_stand_out() {
        assert_eq!(busiest(ms(&[3, 60, 0, 55]), 2), Some(vec![1, 3]));
        assert_eq!(busiest(ms(&[60, 55]), 2), Some(vec![0, 1]));
    }

    #[test]
    fn what_threads_compiled_before_does_not_count() {
        let (before, now) = (ms(&[900, 10, 5]), ms(&[905, 70, 60]));
        assert_eq!(busiest(now.clone(), 2), None);
        assert_eq!(busiest(since(&now, &before), 2), Some(vec![1, 2]));
        // A thread that is new since then.
        assert_eq!(busiest(since(&now, &before[..2]), 2), Some(vec![1, 2]));
    }

    #[test]
    fn unclear_threads_are_left_alone() {
        // Too early to tell; a third that computes as much; fewer than there should be.
        assert_eq!(busiest(ms(&[3, 15, 0, 12]), 2), None);
        assert_eq!(busiest(ms(&[60, 55, 50]), 2), None);
        assert_eq!(busiest(ms(&[60]), 2), None);
        assert_eq!(busiest(ms(&[60]), 0), None);
    }
}
