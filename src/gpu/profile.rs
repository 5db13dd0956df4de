//! GPU time per dispatch, by timestamps between dispatches.
//!
//! Where a device has no timestamps inside passes (and on software drivers, which run a pass as one
//! block), the dispatches of each label are submitted together and timed by the clock.

use std::collections::HashMap;

use super::clock::Clock;
use super::device::Gpu;
use super::plan::{Plan, Sizes};
use crate::error::{Error, Result};

/// The time of one dispatch of a plan.
#[derive(Debug, Clone)]
pub struct StepTime {
    pub label: String,
    pub seconds: f64,
}

/// Times of every dispatch of one replay, in order.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    pub steps: Vec<StepTime>,
    /// Whether each was timed by itself, on the device. Otherwise all of one label were timed together by
    /// the clock (on software devices, of CPU time), and each has an equal share.
    pub by_timestamps: bool,
}

/// A set of timestamps.
pub struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    n: u32,
}

impl Queries {
    fn new(gpu: &Gpu, n: u32) -> Result<Queries> {
        gpu.checked("timestamps", u64::from(n) * 8, || Queries {
            set: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: n,
            }),
            resolved: gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(n) * 8,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            n,
        })
    }

    pub(super) fn write(&self, pass: &mut wgpu::ComputePass<'_>, i: u32) {
        pass.write_timestamp(&self.set, i);
    }

    /// Seconds from each timestamp to the next, read back.
    fn intervals(&self, gpu: &Gpu) -> Result<Vec<f64>> {
        let buffer = super::Buffer::from_raw(self.resolved.clone(), "timestamps");
        let bytes = gpu.read(&buffer, 0, u64::from(self.n) * 8)?;
        let ticks = bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
        let ticks: Vec<u64> = ticks.collect();
        if ticks.len() != self.n as usize {
            return Err(Error::Gpu("the device returned another number of timestamps than asked for".into()));
        }
        let period = f64::from(gpu.queue().get_timestamp_period()) * 1e-9;
        Ok(ticks.windows(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period).collect())
    }

    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.set, 0..self.n, &self.resolved, 0);
    }
}

/// The most timestamps in one set that every backend accepts.
const QUERIES_MAX: usize = 4096;

impl Gpu {
    /// Replays a plan and times each dispatch. What it computes is of no use afterwards.
    pub fn profile(&self, plan: &Plan, sizes: &Sizes) -> Result<Profile> {
        if self.caps().timestamps && !self.caps().software() && plan.steps.len() < QUERIES_MAX {
            self.profile_by_timestamps(plan, sizes)
        } else {
            self.profile_by_clock(plan, sizes)
        }
    }

    fn profile_by_timestamps(&self, plan: &Plan, sizes: &Sizes) -> Result<Profile> {
        let queries = Queries::new(self, plan.steps.len() as u32 + 1)?;
        let mut submission = self.begin();
        submission.replay_timed(plan, sizes, &queries);
        submission.submit()?;
        let seconds = queries.intervals(self)?;
        let steps = plan.steps.iter().zip(seconds);
        let steps = steps.map(|(step, seconds)| StepTime { label: step.pipeline.label.clone(), seconds });
        Ok(Profile { steps: steps.collect(), by_timestamps: true })
    }

    /// Seconds of one replay on the device, of `n_times` one after another: by timestamps around them,
    /// or on software devices and those without timestamps by [`Clock`].
    pub fn seconds(&self, plan: &Plan, sizes: &Sizes, n_times: usize) -> Result<f64> {
        if self.caps().timestamps && !self.caps().software() {
            return self.seconds_by_timestamps(plan, sizes, n_times);
        }
        self.wait()?;
        let clock = Clock::start(self);
        let mut submission = self.begin();
        for _ in 0..n_times {
            submission.replay(plan, sizes);
        }
        submission.submit()?;
        self.wait()?;
        Ok(clock.seconds() / n_times as f64)
    }

    /// As [`Gpu::seconds`], by timestamps. The device must have them.
    pub fn seconds_by_timestamps(&self, plan: &Plan, sizes: &Sizes, n_times: usize) -> Result<f64> {
        let queries = Queries::new(self, 2)?;
        let mut submission = self.begin();
        submission.replay_between(plan, sizes, n_times, &queries);
        submission.submit()?;
        Ok(queries.intervals(self)?[0] / n_times as f64)
    }

    /// Times all dispatches of one label in one submission, since a submission of its own costs more
    /// than a small dispatch, and gives each an equal share.
    fn profile_by_clock(&self, plan: &Plan, sizes: &Sizes) -> Result<Profile> {
        const REPEATS: usize = 5;
        let mut shares: HashMap<&str, f64> = HashMap::new();
        for step in &plan.steps {
            let label = step.pipeline.label.as_str();
            if shares.contains_key(label) {
                continue;
            }
            let same = plan.steps.iter().filter(|other| other.pipeline.label == label);
            let n = same.clone().count();
            let mut times = Vec::new();
            for _ in 0..REPEATS {
                self.wait()?;
                let clock = Clock::start(self);
                let mut submission = self.begin();
                submission.replay_steps(same.clone(), sizes);
                submission.submit()?;
                self.wait()?;
                times.push(clock.seconds() / n as f64);
            }
            times.sort_by(f64::total_cmp);
            shares.insert(label, times[REPEATS / 2]);
        }
        let steps = plan.steps.iter().map(|step| StepTime {
            label: step.pipeline.label.clone(),
            seconds: shares[step.pipeline.label.as_str()],
        });
        Ok(Profile { steps: steps.collect(), by_timestamps: false })
    }
}
