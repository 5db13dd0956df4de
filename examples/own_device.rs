//! An application with its own wgpu device: it computes each frame, and generates text in the time
//! that is left of the frame.
//!
//!     cargo run --release --example own_device -- [MODEL]

use std::time::{Duration, Instant};

use aquatint::engine::{Engine, EngineOptions, Event, Request};
use aquatint::gpu::{Gpu, wgpu};
use aquatint::store;
use aquatint::text::{Decode, DecodeStream, Encode};

/// A frame of a game at 30 frames per second.
const FRAME: Duration = Duration::from_millis(33);

/// What the application does with its device each frame.
const WAVES: &str = "
@group(0) @binding(0) var<storage, read_write> height: array<f32>;
@compute @workgroup_size(64)
fn waves(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    height[i] = 0.99 * height[i] + 0.01 * sin(f32(i) * 0.01);
}";

fn main() -> aquatint::Result<()> {
    let model = std::env::args().nth(1).unwrap_or_else(|| store::DEFAULT.to_owned());
    let path = store::resolve(&model, &mut |_| {})?;

    // The application's own device, with what Aquatint asks for added to what it needs itself.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let (required_features, required_limits) = Gpu::required(&adapter);
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let waves = Waves::new(&device);

    let options = EngineOptions { context: 512, ..Default::default() };
    let mut engine = Engine::with_device(device.clone(), queue.clone(), &adapter.get_info(), path, options)?;
    let tokenizer = engine.model().tokenizer()?.clone();
    let prompt = tokenizer.encode("The sea was calm, and", Encode::default())?;
    engine.submit(Request { prompt, max_tokens: 48, ..Default::default() })?;

    let mut text = DecodeStream::new(tokenizer, Decode { special: false, start: false });
    let (mut frame, mut longest) = (0, Duration::ZERO);
    while engine.busy() {
        let start = Instant::now();
        waves.step(&device, &queue);
        let budget = FRAME.saturating_sub(start.elapsed());
        for event in engine.step(budget)? {
            if let Event::Token { id, .. } = event
                && let Some(piece) = text.push(id)
            {
                println!("frame {frame}: {piece:?}");
            }
        }
        longest = longest.max(start.elapsed());
        frame += 1;
    }
    println!("{frame} frames, the longest {:.0} ms", 1e3 * longest.as_secs_f64());
    Ok(())
}

struct Waves {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Waves {
    fn new(device: &wgpu::Device) -> Waves {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("waves"),
            source: wgpu::ShaderSource::Wgsl(WAVES.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("waves"),
            layout: None,
            module: &module,
            entry_point: Some("waves"),
            compilation_options: Default::default(),
            cache: None,
        });
        let height = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("height"),
            size: 4 * 65536,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("waves"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: height.as_entire_binding() }],
        });
        Waves { pipeline, group }
    }

    fn step(&self, device: &wgpu::Device, queue: &wgpu::Queue) {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(1024, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);
    }
}
