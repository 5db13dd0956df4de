//! The GPU through wgpu. The only module that names wgpu.
