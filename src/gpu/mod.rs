//! The GPU through wgpu. The only module that names wgpu.
//!
//! [`Gpu`] owns a device and its queue, [`Buffer`] is device memory, [`Pipeline`] a compiled kernel,
//! and [`Plan`] a flat list of dispatches that is prepared once and replayed every step.

mod adapter;
mod buffer;
mod clock;
mod device;
mod host;
mod image;
mod pipeline;
mod plan;
mod profile;
mod tuning;
mod uploader;
mod workers;

pub use adapter::{AdapterChoice, AdapterSummary, Backend, Caps, Class, list_adapters};
pub use buffer::{Buffer, Readback, Slice};
pub use clock::{Clock, cpu_seconds, process_age};
pub use device::{Gpu, Options};
pub use host::{HostSpan, HostWork, Span};
pub use image::{IMAGE_LEN_MAX, IMAGE_WIDTH, Image};
pub use pipeline::{BindingLayout, Pipeline, Reflection, Source};
pub use plan::{Bound, Extent, Plan, Size, Sizes, Step, Submission};
pub use profile::{Profile, StepTime};
pub use tuning::{Choice, Tuning, fnv};
pub use uploader::{Target, Uploader};

pub use wgpu::{AdapterInfo, Device, Queue};

/// What an application that brings its own device has to request; see [`Gpu::from_device`].
pub use wgpu;
