//! What replaying a recorded list costs the host: no allocation of ours, and microseconds per dispatch.
//!
//! wgpu itself allocates: a pass, and lists of commands that grow by doubling while it is recorded; then, as
//! it is encoded and submitted, what it tracks. So recording is compared with the same number of bare wgpu
//! calls, and what encoding and submitting allocate is printed, not judged. Time is, too: where bare calls take
//! long, the machine is slow, and the limit in microseconds follows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use aquatint::engine::{Engine, EngineOptions};
use aquatint::gpu::{Gpu, Options, Sizes, wgpu};
use aquatint::model::{Head, LoadOptions, Model};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts what the calling thread allocates.
struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`; its result, and how often this thread allocated meanwhile.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.with(Cell::get);
    let result = work();
    (result, ALLOCATIONS.with(Cell::get) - before)
}

#[test]
fn the_counter_counts() {
    assert_eq!(counted(|| vec![1u8; 10]).1, 1);
    assert_eq!(counted(|| 1 + 1).1, 0);
}

/// Replaying may take so many times as long as bare calls, where three microseconds are too few for these.
const LIMIT_RATIO: f64 = 1.5;

/// Replays of the list in one pass, so that there are enough dispatches to tell one each from none.
const N_REPLAYS: usize = 20;

#[test]
fn replaying_a_list_allocates_nothing_and_takes_microseconds() {
    let gpu = Gpu::open(&Options::default()).expect("an adapter");
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories260K.bin");
    let model = Model::load(&gpu, file, &LoadOptions::default(), &mut |_| {}).expect("a model");
    let options = EngineOptions { context: 64, chunk: 8, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::new(model), options).expect("an engine");
    let program = engine.program(1, Head::Sample { greedy: true }).expect("a pass");
    let sizes = Sizes { n_tokens: 1, n_outputs: 1, n_context: 1 };
    let n_dispatches = N_REPLAYS * program.plan.steps.len();

    let bare = [Bare::new(&gpu), Bare::new(&gpu)];
    let (mut ours, mut bares, mut after) = (Cost::MOST, Cost::MOST, 0);
    for _ in 0..20 {
        let start = Instant::now();
        let mut submission = gpu.begin();
        let steps = (0..N_REPLAYS).flat_map(|_| &program.plan.steps);
        let allocations = counted(|| submission.replay_steps(steps, &sizes)).1;
        let encoded = gpu.host_work().encode_seconds;
        let record_seconds = start.elapsed().as_secs_f64();
        let (result, submitted) = counted(|| submission.submit());
        result.expect("a device that works");
        let encode_seconds = gpu.host_work().encode_seconds - encoded;
        gpu.wait().expect("a device that works");
        ours = ours.least(Cost { allocations, seconds: record_seconds + encode_seconds });
        bares = bares.least(calls(&gpu, bare.iter().cycle().take(n_dispatches)));
        after = submitted;
    }
    let us = |cost: Cost| 1e6 * cost.seconds / n_dispatches as f64;
    println!(
        "{n_dispatches} dispatches: {} allocations while recording ({} by as many bare wgpu calls), \
         {:.2} per dispatch by wgpu while it encodes and submits; {:.2} us per dispatch ({:.2} by bare calls)",
        ours.allocations,
        bares.allocations,
        after as f64 / n_dispatches as f64,
        us(ours),
        us(bares)
    );
    // The lists of a pass with more bind groups per dispatch may double once more.
    assert!(ours.allocations <= bares.allocations + 6, "{ours:?}, {bares:?} by bare calls");
    assert!(ours.allocations < n_dispatches / 4, "{ours:?} in {n_dispatches} dispatches");
    let limit = f64::max(3.0, LIMIT_RATIO * us(bares));
    assert!(us(ours) <= limit, "{:.2} us of host time per dispatch, at most {limit:.2} expected", us(ours));
}

/// What recording and encoding cost the calling thread.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// While recording.
    allocations: usize,
    seconds: f64,
}

impl Cost {
    const MOST: Cost = Cost { allocations: usize::MAX, seconds: f64::INFINITY };

    fn least(self, other: Cost) -> Cost {
        Cost {
            allocations: self.allocations.min(other.allocations),
            seconds: self.seconds.min(other.seconds),
        }
    }
}

/// A bare dispatch of wgpu: a pipeline, bind groups, immediates and a grid.
struct Bare {
    pipeline: wgpu::ComputePipeline,
    groups: [wgpu::BindGroup; 2],
}

impl Bare {
    /// Two groups of three buffers, as many as a product has.
    fn new(gpu: &Gpu) -> Bare {
        let device = gpu.device();
        let text = "
            var<immediate> p: vec4<u32>;
            @group(0) @binding(0) var<storage, read> a: array<u32>;
            @group(0) @binding(1) var<storage, read> b: array<u32>;
            @group(0) @binding(2) var<storage, read> c: array<u32>;
            @group(1) @binding(0) var<storage, read> d: array<u32>;
            @group(1) @binding(1) var<storage, read> e: array<u32>;
            @group(1) @binding(2) var<storage, read_write> y: array<u32>;
            @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
                let i = id.x;
                y[i] = p.x + a[i] + b[i] + c[i] + d[i] + e[i];
            }";
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffers: [wgpu::Buffer; 6] = std::array::from_fn(|_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 256,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let groups = [0, 1].map(|g| {
            let entry = |b| wgpu::BindGroupEntry {
                binding: b,
                resource: buffers[3 * g + b as usize].as_entire_binding(),
            };
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(g as u32),
                entries: &[entry(0), entry(1), entry(2)],
            })
        });
        Bare { pipeline, groups }
    }
}

fn calls<'b>(gpu: &Gpu, dispatches: impl Iterator<Item = &'b Bare>) -> Cost {
    let start = Instant::now();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let record = || {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for bare in dispatches {
            pass.set_pipeline(&bare.pipeline);
            for (g, group) in bare.groups.iter().enumerate() {
                pass.set_bind_group(g as u32, group, &[]);
            }
            pass.set_immediates(0, &[0; 16]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    };
    let allocations = counted(record).1;
    encoder.finish();
    Cost { allocations, seconds: start.elapsed().as_secs_f64() }
}
