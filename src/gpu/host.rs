//! What the host spends on submissions: counted always, listed one by one while a trace is taken.

use std::time::Instant;

use super::device::Gpu;

/// The host's work since the device was opened. Differences of two of them say what lay between.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostWork {
    pub n_dispatches: u64,
    pub n_submissions: u64,
    /// Walking the lists and handing each dispatch to wgpu.
    pub record_seconds: f64,
    /// Turning what was recorded into the driver's commands.
    pub encode_seconds: f64,
    /// Handing them to the driver. Some software drivers compute meanwhile.
    pub submit_seconds: f64,
    /// Waiting for results.
    pub wait_seconds: f64,
}

impl std::ops::Sub for HostWork {
    type Output = HostWork;

    fn sub(self, earlier: HostWork) -> HostWork {
        HostWork {
            n_dispatches: self.n_dispatches - earlier.n_dispatches,
            n_submissions: self.n_submissions - earlier.n_submissions,
            record_seconds: self.record_seconds - earlier.record_seconds,
            encode_seconds: self.encode_seconds - earlier.encode_seconds,
            submit_seconds: self.submit_seconds - earlier.submit_seconds,
            wait_seconds: self.wait_seconds - earlier.wait_seconds,
        }
    }
}

impl HostWork {
    /// Seconds of host work per dispatch. Submitting counts only where the driver returns at once.
    pub fn seconds_per_dispatch(&self, with_submit: bool) -> f64 {
        let submit = if with_submit { self.submit_seconds } else { 0.0 };
        (self.record_seconds + self.encode_seconds + submit) / self.n_dispatches.max(1) as f64
    }
}

/// A kind of host work, in the order of one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSpan {
    Record,
    Encode,
    Submit,
    Wait,
}

/// One piece of host work.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub kind: HostSpan,
    pub start: Instant,
    pub seconds: f64,
    pub n_dispatches: u32,
}

#[derive(Default)]
pub(super) struct Host {
    pub work: HostWork,
    pub spans: Option<Vec<Span>>,
}

impl Gpu {
    /// What the host has done so far.
    pub fn host_work(&self) -> HostWork {
        self.host().work
    }

    /// Lists every piece of host work from now on.
    pub fn begin_trace(&self) {
        self.host().spans = Some(Vec::new());
    }

    /// The pieces since [`Gpu::begin_trace`].
    pub fn end_trace(&self) -> Vec<Span> {
        self.host().spans.take().unwrap_or_default()
    }

    pub(super) fn note(&self, kind: HostSpan, start: Instant, n_dispatches: u32) {
        let seconds = start.elapsed().as_secs_f64();
        let mut host = self.host();
        let work = &mut host.work;
        match kind {
            HostSpan::Record => {
                work.n_dispatches += u64::from(n_dispatches);
                work.record_seconds += seconds;
            }
            HostSpan::Encode => work.encode_seconds += seconds,
            HostSpan::Submit => {
                work.n_submissions += 1;
                work.submit_seconds += seconds;
            }
            HostSpan::Wait => work.wait_seconds += seconds,
        }
        if let Some(spans) = &mut host.spans {
            spans.push(Span { kind, start, seconds, n_dispatches });
        }
    }
}
