//! A device, its queue, and everything that outlives a single model: pipelines, errors, caches.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use super::adapter::{self, AdapterChoice, AdapterSummary, Caps};
use super::host::{Host, HostSpan};
use super::pipeline::Pipeline;
use super::tuning::Tuning;
use super::workers::{THREAD_NAME, Workers};
use crate::error::{Error, Result};

/// How to open a device.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub adapter: AdapterChoice,
    /// Every check of wgpu and of the driver's validation layers, bounds checks in shaders.
    pub validate: bool,
    /// Where compiled pipelines are kept between runs, on backends that have such a cache, and what was
    /// measured of kernels.
    pub pipeline_cache: Option<PathBuf>,
}

/// A device with its queue. Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    caps: Arc<Caps>,
}

struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: AdapterSummary,
    /// Whether the device is fast at dot products of bytes, once that was measured.
    int8_dot: OnceLock<bool>,
    validate: bool,
    /// The first error that no scope caught, or the loss of the device. Reported by the next call.
    failure: Arc<Mutex<Option<Error>>>,
    pipelines: Mutex<HashMap<u64, Arc<Pipeline>>>,
    cache: Option<(wgpu::PipelineCache, PathBuf)>,
    host: Mutex<Host>,
    tuning: Mutex<Option<Arc<Tuning>>>,
    cache_folder: Option<PathBuf>,
    workers: Mutex<Workers>,
}

impl Gpu {
    /// Opens the adapter that `options` choose, with the adapter's own limits.
    ///
    /// Fails if there is no such adapter, or if it lacks what the kernels need.
    pub fn open(options: &Options) -> Result<Gpu> {
        let options = options.clone();
        // Compute threads of a software driver inherit the floating-point mode of the thread that
        // creates them; a thread of our own keeps the caller's mode as it is.
        let thread = std::thread::Builder::new().name(THREAD_NAME.into()).spawn(move || {
            flush_denormals();
            open(&options)
        });
        let thread = thread.map_err(|error| Error::Gpu(format!("cannot start a thread: {error}")))?;
        thread.join().map_err(|_| Error::Gpu("the driver failed while it was opened".into()))?
    }

    /// Takes a device that belongs to the application. `adapter_info` is that of its adapter.
    ///
    /// The device needs the features and limits of [`Gpu::required`].
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, info: &wgpu::AdapterInfo) -> Result<Gpu> {
        let missing = required_features() - device.features();
        if !missing.is_empty() {
            return Err(Error::Adapter(format!(
                "the application's device lacks {missing:?}; request the features and limits of Gpu::required"
            )));
        }
        let limits = device.limits();
        if limits.max_immediate_size < IMMEDIATE_BYTES {
            return Err(Error::Adapter(format!(
                "the application's device has max_immediate_size {}, the kernels need {IMMEDIATE_BYTES}; request the \
                 features and limits of Gpu::required",
                limits.max_immediate_size
            )));
        }
        Ok(wrap(device, queue, info, &Options::default(), None))
    }

    /// The features and limits that [`Gpu::from_device`] asks of an application's device.
    pub fn required(adapter: &wgpu::Adapter) -> (wgpu::Features, wgpu::Limits) {
        (wanted_features(adapter), adapter.limits())
    }

    pub fn adapter(&self) -> &AdapterSummary {
        &self.shared.adapter
    }

    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The same device, for which kernels are chosen by `caps`.
    pub fn with_caps(&self, caps: Caps) -> Gpu {
        Gpu { shared: self.shared.clone(), caps: Arc::new(caps) }
    }

    /// Whether the device is fast at dot products of bytes, if that was measured.
    pub fn int8_dot(&self) -> Option<bool> {
        self.shared.int8_dot.get().copied()
    }

    /// Notes what was measured, and returns what was noted first.
    pub fn set_int8_dot(&self, fast: bool) -> bool {
        *self.shared.int8_dot.get_or_init(|| fast)
    }

    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// The first failure that happened outside of a checked call, if any. It stays.
    pub fn check(&self) -> Result<()> {
        lock(&self.shared.failure).clone().map_or(Ok(()), Err)
    }

    /// Runs `create` and turns what wgpu reports during it into an error.
    /// `need`: the bytes it allocates, for the message.
    pub(super) fn checked<T>(&self, what: &str, need: u64, create: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let device = &self.shared.device;
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = create();
        let errors = [pollster::block_on(internal.pop()), pollster::block_on(validation.pop())];
        if pollster::block_on(memory.pop()).is_some() {
            return Err(Error::OutOfMemory {
                need,
                have: None,
                advice: format!("while creating {what}; try a smaller --context or a smaller model"),
            });
        }
        match errors.into_iter().flatten().next() {
            Some(error) => Err(Error::Gpu(format!("{what}: {error}"))),
            None => Ok(made),
        }
    }

    /// Waits until everything submitted so far has run.
    pub fn wait(&self) -> Result<()> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    pub(super) fn poll(&self, how: wgpu::PollType) -> Result<()> {
        let start = Instant::now();
        let polled = self.shared.device.poll(how);
        self.note(HostSpan::Wait, start, 0);
        lock(&self.shared.workers).settle();
        self.check()?;
        match polled {
            // Who waits for a time looks whether it was enough.
            Ok(_) | Err(wgpu::PollError::Timeout) => Ok(()),
            Err(error) => Err(Error::Gpu(format!("the device does not answer: {error}"))),
        }
    }

    pub(super) fn pipelines(&self) -> MutexGuard<'_, HashMap<u64, Arc<Pipeline>>> {
        lock(&self.shared.pipelines)
    }

    pub(super) fn host(&self) -> MutexGuard<'_, Host> {
        lock(&self.shared.host)
    }

    pub(super) fn tuning_slot(&self) -> &Mutex<Option<Arc<Tuning>>> {
        &self.shared.tuning
    }

    pub(super) fn cache_folder(&self) -> Option<&PathBuf> {
        self.shared.cache_folder.as_ref()
    }

    /// Bytes of device memory in use, and reserved for more, where the backend counts them.
    pub fn memory_bytes(&self) -> Option<(u64, u64)> {
        let report = self.shared.device.generate_allocator_report()?;
        Some((report.total_allocated_bytes, report.total_reserved_bytes))
    }

    pub(super) fn validate(&self) -> bool {
        self.shared.validate
    }

    pub(super) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.shared.cache.as_ref().map(|(cache, _)| cache)
    }

    /// Writes the driver's compiled pipelines to disk, where the backend gives them out.
    pub fn save_pipeline_cache(&self) -> Result<()> {
        let Some((cache, path)) = &self.shared.cache else { return Ok(()) };
        let Some(data) = cache.get_data() else { return Ok(()) };
        let folder = path.parent().expect("the cache file lies in a folder");
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let partial = path.with_extension(format!("part{}", std::process::id()));
        std::fs::write(&partial, data).map_err(|error| Error::io(&partial, error))?;
        std::fs::rename(&partial, path).map_err(|error| Error::io(path, error))
    }
}

/// Bytes of `Params` a kernel may have: the least that every native backend gives.
pub(super) const IMMEDIATE_BYTES: u32 = 128;

fn required_features() -> wgpu::Features {
    wgpu::Features::IMMEDIATES
}

fn wanted_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    let wanted = required_features()
        | wgpu::Features::SUBGROUP
        // The software driver unpacks f16 words with its own instruction only where this is on.
        | wgpu::Features::SHADER_F16
        // Launches that are joined write and read images.
        | wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | wgpu::Features::PIPELINE_CACHE;
    wanted & adapter.features()
}

pub(super) fn instance(validate: bool) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = if validate { wgpu::InstanceFlags::debugging() } else { wgpu::InstanceFlags::empty() };
    // An oversubscribed GPU should refuse at once rather than page.
    descriptor.memory_budget_thresholds.for_resource_creation = Some(95);
    wgpu::Instance::new(descriptor)
}

fn open(options: &Options) -> Result<Gpu> {
    let instance = instance(options.validate);
    let adapter = adapter::choose(&instance, &options.adapter)?;
    let info = adapter.get_info();
    let missing = required_features() - adapter.features();
    if !missing.is_empty() {
        return Err(Error::Adapter(format!("{} lacks {missing:?}, which the kernels need", info.name)));
    }
    let cooperative = adapter::cooperative(&adapter);
    let mut features = wanted_features(&adapter);
    let mut experimental = wgpu::ExperimentalFeatures::disabled();
    if cooperative > 0 && adapter.features().contains(adapter::COOPERATIVE) {
        features |= adapter::COOPERATIVE;
        // SAFETY: of the experimental features only cooperative matrices are used, in kernels that are
        // checked against their twins wherever an adapter has them.
        experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("aquatint"),
        required_features: features,
        experimental_features: experimental,
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| Error::Adapter(format!("{}: cannot open the device: {error}", info.name)))?;
    Ok(wrap(device, queue, &info, options, Some(cooperative)))
}

/// `own`: the size of cooperative matrices, if the device was opened here.
fn wrap(
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: &wgpu::AdapterInfo,
    options: &Options,
    own: Option<u32>,
) -> Gpu {
    let failure = Arc::new(Mutex::new(None));
    // An application that brought its device keeps its own callbacks.
    if own.is_some() {
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaptured).get_or_insert(Error::Gpu(format!("the device reports: {error}")));
        }));
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&lost).get_or_insert(Error::Gpu(format!(
                    "the device was lost ({reason:?}): {message}; restart, and try a smaller model if it repeats"
                )));
            }
        });
    }
    let cache = options.pipeline_cache.as_ref().and_then(|folder| open_cache(&device, info, folder));
    let caps = Arc::new(adapter::caps(info, &device, own.unwrap_or(0)));
    let shared = Shared {
        int8_dot: OnceLock::new(),
        adapter: adapter::summary(info),
        device,
        queue,
        validate: options.validate,
        failure,
        pipelines: Mutex::default(),
        cache,
        host: Mutex::default(),
        tuning: Mutex::default(),
        cache_folder: options.pipeline_cache.clone(),
        // Only threads that were started here are known by their name.
        workers: Mutex::new(Workers::new(if own.is_some() && caps.shared_process() {
            caps.threads as usize
        } else {
            0
        })),
    };
    Gpu { shared: Arc::new(shared), caps }
}

fn open_cache(
    device: &wgpu::Device,
    info: &wgpu::AdapterInfo,
    folder: &std::path::Path,
) -> Option<(wgpu::PipelineCache, PathBuf)> {
    if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
        return None;
    }
    let path = folder.join(format!("{}.pipelines", wgpu::util::pipeline_cache_key(info)?));
    let data = std::fs::read(&path).ok();
    let descriptor =
        wgpu::PipelineCacheDescriptor { label: Some("aquatint"), data: data.as_deref(), fallback: true };
    // SAFETY: the data was written by `save_pipeline_cache` under the key of this adapter, and wgpu
    // checks its header; what does not fit is dropped (`fallback`).
    let cache = unsafe { device.create_pipeline_cache(&descriptor) };
    Some((cache, path))
}

/// Sets flush-to-zero and denormals-are-zero on this thread. Arithmetic on denormals is up to five
/// times slower on x86, and weights do contain them.
fn flush_denormals() {
    #[cfg(target_arch = "x86_64")]
    {
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        let mut mode = 0u32;
        // SAFETY: reads and writes only the SSE control register of this thread, whose other bits
        // keep their values.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &mut mode, options(nostack));
            mode |= FLUSH_TO_ZERO | DENORMALS_ARE_ZERO;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &mode, options(nostack));
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves nothing half-done in these tables.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
