//! A flat list of dispatches, prepared once and replayed every step.
//!
//! Replaying creates no pipelines and no bind groups. What changes from step to step lies in
//! buffers, but for a few counts ([`Sizes`]) that scale the grids and are patched into the params.

use std::sync::Arc;
use std::time::Instant;

use super::buffer::{Buffer, Readback, Slice};
use super::device::Gpu;
use super::host::HostSpan;
use super::image::Image;
use super::pipeline::Pipeline;
use super::profile::Queries;
use crate::error::{Error, Result};

/// A count that is known only when a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// Tokens in the batch.
    Tokens,
    /// Rows whose logits are wanted.
    Outputs,
    /// The longest sequence, in positions, this step's tokens included.
    Context,
}

/// The counts of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    pub n_tokens: u32,
    pub n_outputs: u32,
    pub n_context: u32,
}

impl Sizes {
    pub fn get(&self, size: Size) -> u32 {
        match size {
            Size::Tokens => self.n_tokens,
            Size::Outputs => self.n_outputs,
            Size::Context => self.n_context,
        }
    }
}

/// Workgroups along one dimension of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    Fixed(u32),
    /// One workgroup per `per` of a count, rounded up.
    Per(Size, u32),
    /// One workgroup where a count is above this; none otherwise, so that the dispatch is left out.
    Above(Size, u32),
}

impl Extent {
    pub fn at(&self, sizes: &Sizes) -> u32 {
        match *self {
            Extent::Fixed(n) => n,
            Extent::Per(size, per) => sizes.get(size).div_ceil(per),
            Extent::Above(size, limit) => u32::from(sizes.get(size) > limit),
        }
    }
}

/// What is bound to a kernel.
#[derive(Debug, Clone)]
pub enum Bound {
    Slice(Slice),
    Image(Image),
}

/// One dispatch.
pub struct Step {
    pub pipeline: Arc<Pipeline>,
    bind_groups: Vec<wgpu::BindGroup>,
    params: Vec<u8>,
    /// Byte offsets in `params` where a count is written at replay.
    patches: Vec<(usize, Extent)>,
    pub grid: [Extent; 3],
}

/// A recorded list of dispatches.
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Step {
    /// Prepares a dispatch. `bindings[g][b]` is bound to `@group(g) @binding(b)`.
    pub fn new(
        gpu: &Gpu,
        pipeline: Arc<Pipeline>,
        bindings: &[Vec<Bound>],
        params: Vec<u8>,
        patches: Vec<(usize, Extent)>,
        grid: [Extent; 3],
    ) -> Result<Step> {
        let label = &pipeline.label;
        if params.len() != pipeline.params_len as usize {
            return Err(Error::Gpu(format!(
                "{label}: the shader's Params have {} bytes, {} were given",
                pipeline.params_len,
                params.len()
            )));
        }
        let limit = gpu.caps().binding_bytes_max;
        for bound in bindings.iter().flatten() {
            let Bound::Slice(slice) = bound else { continue };
            if slice.len > limit {
                return Err(Error::Gpu(format!(
                    "{label}: {} binds {} bytes, this device binds at most {limit}",
                    slice.buffer.label(),
                    slice.len
                )));
            }
        }
        let bind_groups = gpu.checked(label, 0, || {
            let groups = pipeline.groups.iter().enumerate();
            groups
                .map(|(g, layout)| bind_group(gpu, label, layout, bindings.get(g).map_or(&[], |b| b)))
                .collect()
        })?;
        Ok(Step { pipeline, bind_groups, params, patches, grid })
    }

    fn encode(&self, pass: &mut wgpu::ComputePass<'_>, sizes: &Sizes) {
        let grid = self.grid.map(|extent| extent.at(sizes));
        if grid.contains(&0) {
            return;
        }
        pass.set_pipeline(&self.pipeline.raw);
        for (g, bind_group) in self.bind_groups.iter().enumerate() {
            pass.set_bind_group(g as u32, bind_group, &[]);
        }
        if !self.params.is_empty() {
            let mut params = [0u8; super::device::IMMEDIATE_BYTES as usize];
            let params = &mut params[..self.params.len()];
            params.copy_from_slice(&self.params);
            for &(at, count) in &self.patches {
                params[at..at + 4].copy_from_slice(&count.at(sizes).to_le_bytes());
            }
            pass.set_immediates(0, params);
        }
        pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
    }
}

/// Tokens up to which a whole plan is short.
const FEW_TOKENS: u32 = 16;

/// Dispatches of many tokens in one submission: about 8 layers.
const STEPS_MAX: usize = 64;

/// Plans to run one after another in one submission.
pub struct Submission<'a> {
    encoder: wgpu::CommandEncoder,
    gpu: &'a Gpu,
}

impl Gpu {
    /// Begins a submission.
    pub fn begin(&self) -> Submission<'_> {
        Submission { encoder: self.device().create_command_encoder(&Default::default()), gpu: self }
    }

    /// Runs a plan at once, as one submission; does not wait.
    pub fn run(&self, plan: &Plan, sizes: &Sizes) -> Result<()> {
        let mut submission = self.begin();
        submission.replay(plan, sizes);
        submission.submit()
    }
}

impl Submission<'_> {
    /// Replays a plan. Where many tokens make its dispatches long, parts of it are submitted on the way:
    /// drivers reset a device that is seconds at one submission.
    pub fn replay(&mut self, plan: &Plan, sizes: &Sizes) {
        if sizes.n_tokens <= FEW_TOKENS || self.gpu.caps().software() {
            return self.replay_steps(&plan.steps, sizes);
        }
        for part in plan.steps.chunks(STEPS_MAX) {
            self.replay_steps(part, sizes);
            let next = self.gpu.device().create_command_encoder(&Default::default());
            let part = std::mem::replace(&mut self.encoder, next);
            self.gpu.queue().submit([part.finish()]);
        }
    }

    pub fn replay_steps<'s>(&mut self, steps: impl IntoIterator<Item = &'s Step>, sizes: &Sizes) {
        let (start, mut n) = (Instant::now(), 0);
        let mut pass = self.encoder.begin_compute_pass(&Default::default());
        for step in steps {
            step.encode(&mut pass, sizes);
            n += 1;
        }
        drop(pass);
        self.gpu.note(HostSpan::Record, start, n);
    }

    /// Replays with a timestamp before the first dispatch of the first time and after the last of the last.
    pub fn replay_between(&mut self, plan: &Plan, sizes: &Sizes, n_times: usize, queries: &Queries) {
        let mut pass = self.encoder.begin_compute_pass(&Default::default());
        queries.write(&mut pass, 0);
        for step in (0..n_times).flat_map(|_| &plan.steps) {
            step.encode(&mut pass, sizes);
        }
        queries.write(&mut pass, 1);
        drop(pass);
        queries.resolve(&mut self.encoder);
    }

    /// Replays with a timestamp after each dispatch.
    pub fn replay_timed(&mut self, plan: &Plan, sizes: &Sizes, queries: &Queries) {
        let mut pass = self.encoder.begin_compute_pass(&Default::default());
        queries.write(&mut pass, 0);
        for (i, step) in plan.steps.iter().enumerate() {
            step.encode(&mut pass, sizes);
            queries.write(&mut pass, i as u32 + 1);
        }
        drop(pass);
        queries.resolve(&mut self.encoder);
    }

    pub(super) fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        &mut self.encoder
    }

    pub fn copy(&mut self, from: &Slice, to: &Buffer, to_offset: u64) {
        self.encoder.copy_buffer_to_buffer(&from.buffer.raw, from.offset, &to.raw, to_offset, Some(from.len));
    }

    /// Copies parts (buffer, offset, length in bytes) to the host; fetch them with [`Readback::wait`].
    pub fn read_back(&mut self, readback: &mut Readback, parts: &[(Buffer, u64, u64)]) {
        readback.record(&mut self.encoder, parts);
    }

    /// Sends everything to the device. Readbacks recorded here can then be waited for.
    pub fn submit(self) -> Result<()> {
        let gpu = self.gpu;
        self.send();
        gpu.check()
    }

    /// Sends everything and notes in `readback` which submission to wait for.
    pub fn submit_for(self, readback: &mut Readback) -> Result<()> {
        let gpu = self.gpu;
        readback.submitted(self.send());
        gpu.check()
    }

    fn send(self) -> wgpu::SubmissionIndex {
        let start = Instant::now();
        let commands = self.encoder.finish();
        self.gpu.note(HostSpan::Encode, start, 0);
        let start = Instant::now();
        let index = self.gpu.queue().submit([commands]);
        self.gpu.note(HostSpan::Submit, start, 0);
        index
    }
}

fn bind_group(gpu: &Gpu, label: &str, layout: &wgpu::BindGroupLayout, bounds: &[Bound]) -> wgpu::BindGroup {
    let entries: Vec<_> = bounds
        .iter()
        .enumerate()
        .map(|(binding, bound)| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: match bound {
                Bound::Slice(slice) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &slice.buffer.raw,
                    offset: slice.offset,
                    size: wgpu::BufferSize::new(slice.len),
                }),
                Bound::Image(image) => wgpu::BindingResource::TextureView(&image.view),
            },
        })
        .collect();
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(label),
        layout,
        entries: &entries,
    })
}
