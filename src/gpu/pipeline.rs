//! Compiling kernels: WGSL text to a pipeline with its bindings.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use wgpu::naga;

use super::device::{Gpu, IMMEDIATE_BYTES};
use crate::error::{Error, Result};

/// The whole text of a kernel, as the linker made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// For messages and profiles.
    pub label: String,
    pub wgsl: String,
    /// The entry point.
    pub entry: String,
    /// The file and line that each line of the text comes from.
    pub origins: Vec<(&'static str, u32)>,
}

/// What the text of a kernel declares, found without a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reflection {
    pub layout: Vec<BindingLayout>,
    /// Names and byte offsets of the fields of `Params`.
    pub params: Vec<(String, u32)>,
    /// Bytes of `Params`.
    pub params_len: u32,
}

impl Source {
    /// Parses the text. Errors name the shader file and line.
    pub fn reflect(&self) -> Result<Reflection> {
        let module = self.parse()?;
        reflect(&module)
    }

    fn parse(&self) -> Result<naga::Module> {
        naga::front::wgsl::parse_str(&self.wgsl).map_err(|error| {
            let place = error.location(&self.wgsl).and_then(|at| {
                let (path, line) = self.origins.get(at.line_number as usize - 1)?;
                Some(format!("{path}:{line}:{}", at.line_position))
            });
            let place = place.unwrap_or_else(|| self.label.clone());
            Error::Gpu(format!("{place}: {} (in {})", error.message(), self.label))
        })
    }
}

/// A compiled kernel. Pipelines of equal text are compiled once per device.
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) groups: Vec<wgpu::BindGroupLayout>,
    pub label: String,
    pub layout: Vec<BindingLayout>,
    /// Bytes of `Params`.
    pub params_len: u32,
    /// Seconds that the driver took to compile it.
    pub compile_seconds: f64,
}

/// One `@group(g) @binding(b)` of a kernel, read off its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingLayout {
    pub group: u32,
    pub binding: u32,
    pub writes: bool,
    /// Whether what is written is also read.
    pub reads: bool,
    /// Words of a texel where an image is bound, not a buffer.
    pub image: Option<u32>,
}

/// What a kernel's text binds, sorted by group and binding, and the bytes of its immediates.
fn reflect(module: &naga::Module) -> Result<Reflection> {
    let mut layout = Vec::new();
    let mut params_len = 0;
    let mut params = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        match (variable.space, &variable.binding) {
            (naga::AddressSpace::Storage { access }, Some(binding)) => layout.push(BindingLayout {
                group: binding.group,
                binding: binding.binding,
                writes: access.contains(naga::StorageAccess::STORE),
                reads: access.contains(naga::StorageAccess::LOAD),
                image: None,
            }),
            (naga::AddressSpace::Handle, Some(binding)) => {
                let naga::TypeInner::Image { class: naga::ImageClass::Storage { format, access }, .. } =
                    module.types[variable.ty].inner
                else {
                    return Err(Error::Gpu("a kernel binds what is neither a buffer nor an image".into()));
                };
                let n_words = super::image::n_words(format)
                    .ok_or_else(|| Error::Gpu(format!("a kernel binds an image of {format:?}")))?;
                layout.push(BindingLayout {
                    group: binding.group,
                    binding: binding.binding,
                    writes: access.contains(naga::StorageAccess::STORE),
                    reads: access.contains(naga::StorageAccess::LOAD),
                    image: Some(n_words),
                });
            }
            (naga::AddressSpace::Immediate, _) => {
                let inner = &module.types[variable.ty].inner;
                params_len = inner.size(module.to_ctx());
                if let naga::TypeInner::Struct { members, .. } = inner {
                    params.extend(members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)));
                }
            }
            _ => {}
        }
    }
    layout.sort_by_key(|binding| (binding.group, binding.binding));
    if params_len > IMMEDIATE_BYTES {
        return Err(Error::Gpu(format!("a kernel has {params_len} bytes of params, {IMMEDIATE_BYTES} fit")));
    }
    Ok(Reflection { layout, params, params_len })
}

impl Gpu {
    /// Compiles a kernel, or returns the pipeline compiled before.
    pub fn pipeline(&self, source: &Source) -> Result<Arc<Pipeline>> {
        let mut hasher = DefaultHasher::new();
        (&source.wgsl, &source.entry).hash(&mut hasher);
        let key = hasher.finish();
        if let Some(pipeline) = self.pipelines().get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.compile(source)?);
        self.pipelines().insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// The number of pipelines compiled so far and the seconds the driver spent on them.
    pub fn compile_stats(&self) -> (usize, f64) {
        let pipelines = self.pipelines();
        (pipelines.len(), pipelines.values().map(|p| p.compile_seconds).sum())
    }

    fn compile(&self, source: &Source) -> Result<Pipeline> {
        let start = std::time::Instant::now();
        let label = &source.label;
        let Reflection { layout, params_len, .. } = source.reflect()?;
        let n_groups = layout.iter().map(|b| b.group + 1).max().unwrap_or(0);
        let (raw, groups) = self.checked(label, 0, || {
            let device = self.device();
            let groups: Vec<_> =
                (0..n_groups).map(|group| bind_group_layout(device, &layout, group)).collect();
            let references: Vec<_> = groups.iter().map(Some).collect();
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(label),
                bind_group_layouts: &references,
                immediate_size: params_len,
            });
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(label),
                source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
            };
            let checks = if self.validate() {
                wgpu::ShaderRuntimeChecks::checked()
            } else {
                wgpu::ShaderRuntimeChecks::unchecked()
            };
            // SAFETY: the text is our own; its loops end and its indices stay inside the bindings,
            // which the tests check against the twins and `--validate` checks at run time.
            let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(&source.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: self.validate(),
                },
                cache: self.pipeline_cache(),
            });
            (raw, groups)
        })?;
        let compile_seconds = start.elapsed().as_secs_f64();
        Ok(Pipeline { raw, groups, label: label.clone(), layout, params_len, compile_seconds })
    }
}

fn bind_group_layout(device: &wgpu::Device, layout: &[BindingLayout], group: u32) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = layout
        .iter()
        .filter(|binding| binding.group == group)
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding: binding.binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: match binding.image {
                None => wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: !binding.writes },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                Some(n_words) => wgpu::BindingType::StorageTexture {
                    access: match (binding.writes, binding.reads) {
                        (true, true) => wgpu::StorageTextureAccess::ReadWrite,
                        (true, false) => wgpu::StorageTextureAccess::WriteOnly,
                        (false, _) => wgpu::StorageTextureAccess::ReadOnly,
                    },
                    format: super::image::format(n_words),
                    view_dimension: wgpu::TextureViewDimension::D2,
                },
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}
