//! Which adapters there are, what they can do, and which one to take.

use std::fmt;

use crate::error::{Error, Result};

/// How to choose an adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The best discrete GPU, then an integrated one, then anything else, and software last.
    #[default]
    Best,
    /// The place in [`list_adapters`].
    Index(usize),
    /// A part of the name, in any case.
    Name(String),
}

impl std::str::FromStr for AdapterChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<AdapterChoice, Self::Err> {
        Ok(match text.parse() {
            Ok(index) => AdapterChoice::Index(index),
            Err(_) => AdapterChoice::Name(text.to_owned()),
        })
    }
}

/// The programming interface an adapter is reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Other,
}

/// GPUs and software drivers want different kernels: see `shaders/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Gpu,
    /// A driver that computes on the CPU, such as Mesa's lavapipe or SwiftShader.
    Software,
}

/// What an adapter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSummary {
    pub name: String,
    pub backend: Backend,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    pub driver: String,
    pub vendor: u32,
    pub device: u32,
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {}", self.name, self.backend, self.kind)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        write!(f, ")")
    }
}

/// What a device can do, as far as the choice of kernels depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Caps {
    pub class: Class,
    /// The sizes a subgroup may have; both 0 where the device has no subgroups.
    pub subgroup_min: u32,
    pub subgroup_max: u32,
    /// The size of the square matrices of f16 that the device multiplies and sums in f32; 0 where it has
    /// none.
    pub cooperative: u32,
    /// Whether packed dot products of bytes are measured to be much faster than multiply-adds of f32; see
    /// [`crate::kernels::probed`].
    pub int8_dot: bool,
    /// Timestamps between dispatches.
    pub timestamps: bool,
    /// Bytes of one binding, and of one buffer.
    pub binding_bytes_max: u64,
    pub buffer_bytes_max: u64,
    pub workgroup_lanes_max: u32,
    pub workgroup_bytes_max: u32,
    /// Workgroups along one dimension of a dispatch.
    pub workgroups_max: u32,
    /// Bytes that the offset of a binding must be a multiple of.
    pub offset_alignment: u64,
    /// Whether weights are read faster from images than from buffers.
    pub images: bool,
    /// Whether images can be written and read in one dispatch.
    pub images_updated: bool,
    /// Buffers and images that a dispatch may have.
    pub buffers_bound_max: u32,
    pub images_bound_max: u32,
    /// Threads of a driver that runs workgroups as such.
    pub threads: u32,
}

impl Caps {
    /// Whether 8 consecutive lanes always share a subgroup, so that they can exchange by shuffles.
    pub fn clusters(&self) -> bool {
        self.subgroup_min >= 8
    }

    /// Whether workgroups are threads of this process, on a processor that keeps the order of stores and
    /// atomics: a workgroup then sees what others wrote before they counted themselves in an atomic.
    pub fn shared_process(&self) -> bool {
        self.software() && self.images
    }

    /// Whether products of quantised weights are faster with activations as blocks of bytes.
    pub fn byte_blocks(&self) -> bool {
        self.shared_process() && self.clusters()
    }

    pub fn software(&self) -> bool {
        self.class == Class::Software
    }
}

/// The adapters of this machine, in the order of `--adapter`'s index: best first.
pub fn list_adapters() -> Vec<AdapterSummary> {
    let instance = super::device::instance(false);
    adapters(&instance).iter().map(|adapter| summary(&adapter.get_info())).collect()
}

/// Sorted: discrete, integrated, virtual, other, software; Vulkan, Metal and DX12 in this order.
pub(super) fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        (rank(info.device_type), backend(info.backend) as u8)
    });
    adapters
}

pub(super) fn choose(instance: &wgpu::Instance, choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let mut adapters = adapters(instance);
    let names = || -> String {
        let list = adapters.iter().enumerate().map(|(i, a)| format!("\n  {i}: {}", summary(&a.get_info())));
        list.collect()
    };
    if adapters.is_empty() {
        return Err(Error::Adapter(
            "no GPU adapter found: no Vulkan, Metal or DX12 driver answers; install a GPU driver, or Mesa's \
             software driver (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
                .into(),
        ));
    }
    let index = match choice {
        AdapterChoice::Best => 0,
        AdapterChoice::Index(index) if *index < adapters.len() => *index,
        AdapterChoice::Index(index) => {
            return Err(Error::Adapter(format!("no adapter {index}; there are:{}", names())));
        }
        AdapterChoice::Name(name) => {
            let wanted = name.to_lowercase();
            let found = adapters.iter().position(|a| a.get_info().name.to_lowercase().contains(&wanted));
            found.ok_or_else(|| {
                Error::Adapter(format!("no adapter's name contains \"{name}\"; there are:{}", names()))
            })?
        }
    };
    Ok(adapters.swap_remove(index))
}

pub(super) fn summary(info: &wgpu::AdapterInfo) -> AdapterSummary {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    let driver = [info.driver.as_str(), info.driver_info.as_str()];
    AdapterSummary {
        name: info.name.clone(),
        backend: backend(info.backend),
        kind,
        driver: driver.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" "),
        vendor: info.vendor,
        device: info.device,
    }
}

/// The largest size of cooperative matrices that kernels use, of those that the adapter lists.
pub(super) fn cooperative(adapter: &wgpu::Adapter) -> u32 {
    let usable = |p: &wgpu::CooperativeMatrixProperties| {
        p.m_size == p.n_size
            && p.n_size == p.k_size
            && (p.ab_type, p.cr_type) == (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32)
    };
    let sizes = adapter.cooperative_matrix_properties().into_iter().filter(usable).map(|p| p.m_size);
    sizes.max().unwrap_or(0)
}

/// `cooperative`: the size of cooperative matrices, where the device was opened with them.
pub(super) fn caps(info: &wgpu::AdapterInfo, device: &wgpu::Device, cooperative: u32) -> Caps {
    let limits = device.limits();
    let features = device.features();
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    Caps {
        class: if info.device_type == wgpu::DeviceType::Cpu { Class::Software } else { Class::Gpu },
        subgroup_min: if subgroups { info.subgroup_min_size } else { 0 },
        subgroup_max: if subgroups { info.subgroup_max_size } else { 0 },
        cooperative: if subgroups && features.contains(COOPERATIVE) { cooperative } else { 0 },
        int8_dot: false,
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
        binding_bytes_max: limits.max_storage_buffer_binding_size,
        buffer_bytes_max: limits.max_buffer_size,
        workgroup_lanes_max: limits.max_compute_invocations_per_workgroup,
        workgroup_bytes_max: limits.max_compute_workgroup_storage_size,
        workgroups_max: limits.max_compute_workgroups_per_dimension,
        offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
        images: info.device_type == wgpu::DeviceType::Cpu
            && limits.max_texture_dimension_2d >= 8192
            && limits.max_storage_textures_per_shader_stage >= 4,
        images_updated: features.contains(wgpu::Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES),
        buffers_bound_max: limits.max_storage_buffers_per_shader_stage,
        images_bound_max: limits.max_storage_textures_per_shader_stage,
        threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)) as u32,
    }
}

/// As many threads as a software driver starts at most.
const THREADS_MAX: usize = 16;

/// What kernels with cooperative matrices need.
pub(super) const COOPERATIVE: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16);

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn backend(backend: wgpu::Backend) -> Backend {
    match backend {
        wgpu::Backend::Vulkan => Backend::Vulkan,
        wgpu::Backend::Metal => Backend::Metal,
        wgpu::Backend::Dx12 => Backend::Dx12,
        _ => Backend::Other,
    }
}
