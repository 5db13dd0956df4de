//! How many tokens of prompts go into one pass, so that no pass takes too long.
//!
//! A display shares the GPU, and drivers reset a device whose work takes seconds. And a software
//! device computes while a pass is submitted, so there a pass must fit the time the caller gave.

use std::time::Duration;

/// A pass on a GPU should take this long at most.
const PASS_MAX: Duration = Duration::from_millis(100);

/// The first pass with a limit, in tokens.
const FIRST: usize = 16;

pub(super) struct Pace {
    /// Tokens in a pass at most, as far as memory goes.
    most: usize,
    /// Tokens in a pass at most, as far as time goes.
    now: usize,
    software: bool,
}

impl Pace {
    pub fn new(most: usize, software: bool) -> Pace {
        Pace { most, now: FIRST.min(most), software }
    }

    /// Tokens that the next pass may have, for a caller that waits for `budget` at most.
    pub fn chunk(&self, budget: Duration) -> usize {
        if self.software && budget == Duration::MAX { self.most } else { self.now }
    }

    /// A pass was submitted, which took the caller `time`.
    pub fn submitted(&mut self, n_tokens: usize, time: Duration, budget: Duration) {
        if self.software && budget != Duration::MAX {
            self.adapt(n_tokens, time, budget);
        }
    }

    /// A pass ended, `time` after it was submitted.
    pub fn landed(&mut self, n_tokens: usize, time: Duration) {
        if !self.software {
            self.adapt(n_tokens, time, PASS_MAX);
        }
    }

    fn adapt(&mut self, n_tokens: usize, time: Duration, limit: Duration) {
        let ratio = limit.as_secs_f64() / time.as_secs_f64().max(1e-9);
        if ratio < 1.0 {
            self.now = ((n_tokens as f64 * ratio) as usize).clamp(1, self.now);
        } else if 2 * n_tokens > self.now {
            // Only a pass near the limit says that more would fit.
            self.now = ((n_tokens as f64 * ratio.min(2.0)) as usize).clamp(self.now, self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_grow_to_the_limit_and_shrink_below_it() {
        let mut pace = Pace::new(128, false);
        // One millisecond a token: 100 fit.
        for _ in 0..6 {
            let n = pace.chunk(Duration::MAX);
            pace.landed(n, Duration::from_millis(n as u64));
        }
        assert!((90..=100).contains(&pace.chunk(Duration::MAX)), "{}", pace.chunk(Duration::MAX));
        let n = pace.chunk(Duration::MAX);
        pace.landed(n, Duration::from_millis(50 * n as u64));
        assert!(pace.chunk(Duration::MAX) <= 2);
        // A short pass that was fast says nothing of long ones.
        let mut pace = Pace::new(128, false);
        pace.landed(1, Duration::from_micros(1));
        assert_eq!(pace.chunk(Duration::MAX), FIRST);
    }

    #[test]
    fn software_devices_follow_the_budget_of_the_caller() {
        let mut pace = Pace::new(128, true);
        assert_eq!(pace.chunk(Duration::MAX), 128);
        let budget = Duration::from_millis(4);
        pace.submitted(pace.chunk(budget), Duration::from_millis(16), budget);
        assert_eq!(pace.chunk(budget), 4);
        assert_eq!(pace.chunk(Duration::MAX), 128);
    }
}
