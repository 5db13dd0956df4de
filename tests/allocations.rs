//! What replaying a recorded list costs the host: no allocation of ours, and microseconds per dispatch.
//!
//! wgpu itself allocates: a pass, and lists of commands that grow by doubling while it is recorded; then, as
//! it is encoded and submitted, what it tracks. So recording is compared with the same number of bare wgpu
//! calls, and what encoding and submitting allocate is printed, not judged.

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

    let mut best = f64::INFINITY;
    let (mut ours, mut after) = (usize::MAX, 0);
    for _ in 0..20 {
        let start = Instant::now();
        let mut submission = gpu.begin();
        let steps = (0..N_REPLAYS).flat_map(|_| &program.plan.steps);
        let recorded = counted(|| submission.replay_steps(steps, &sizes)).1;
        let encoded = gpu.host_work().encode_seconds;
        let record_seconds = start.elapsed().as_secs_f64();
        let (result, submitted) = counted(|| submission.submit());
        result.expect("a device that works");
        let encode_seconds = gpu.host_work().encode_seconds - encoded;
        gpu.wait().expect("a device that works");
        best = best.min((record_seconds + encode_seconds) / n_dispatches as f64);
        (ours, after) = (ours.min(recorded), submitted);
    }
    let bare = bare_calls(&gpu, n_dispatches);
    println!(
        "{n_dispatches} dispatches: {ours} allocations while recording ({bare} by as many bare wgpu calls), \
         {:.2} per dispatch by wgpu while it encodes and submits; {:.2} us per dispatch",
        after as f64 / n_dispatches as f64,
        1e6 * best
    );
    // The lists of a pass with more bind groups per dispatch may double once more.
    assert!(ours <= bare + 6, "{ours} allocations, {bare} by bare calls");
    assert!(ours < n_dispatches / 4, "{ours} allocations in {n_dispatches} dispatches");
    assert!(best <= 3e-6, "{:.2} us of host time per dispatch", 1e6 * best);
}

/// Allocations of as many bare dispatches: a pipeline, a bind group, immediates and a grid each.
fn bare_calls(gpu: &Gpu, n_dispatches: usize) -> usize {
    let device = gpu.device();
    let text = "struct P { a: u32, b: u32, c: u32, d: u32 } var<immediate> p: P;
        @group(0) @binding(0) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) { y[id.x] = p.a; }";
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let group_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: false },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }],
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&group_layout)],
        immediate_size: 16,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &group_layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let record = || {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..n_dispatches {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.set_immediates(0, &[0; 16]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    };
    counted(record).1
}
