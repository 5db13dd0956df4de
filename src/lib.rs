//! Aquatint runs language models on any GPU that WebGPU reaches. All the arithmetic is in WGSL
//! compute shaders, dispatched through `wgpu` on Vulkan, Metal and DX12.
//!
//! # Layers
//!
//! A module uses the modules listed before it in the `mod` list below and none after;
//! `tests/layers.rs` checks this.
//!
//! ```text
//!  cli        commands                                      the only module that prints or exits
//!  vectors    bag of words, word vectors, pictures of vectors, runs that texts share
//!  engine     sequences, batching, sampling, stop rules; encoding whole texts
//!  model      architectures as data, loading, forward passes, KV cache
//!  kernels    one file per kernel: declaration, recording function, CPU twin, test cases
//!  graph      Kernel, Graph (records launches), shader linking, scratch memory, CPU replay
//!  gpu        Gpu, Buffer, pipelines, Plan, profiling       the only module that names wgpu
//!  ---------------------------------------------------      below: pure, no GPU, no async
//!  store      models by short name: sources, downloads, checksums
//!  text       tokenizers, chat templates
//!  weights    GGUF, safetensors, llama2.c files: names, shapes, metadata, mapped bytes
//!  tensor     Shape, stored weight formats
//! ```
//!
//! # Invariants
//!
//! - Only `gpu` names wgpu.
//! - `tensor`, `weights`, `text` and `store` build and test with no GPU.
//! - `model` never names a `.wgsl` file; `kernels` never names a model.
//! - No WGSL text in Rust, no conditionals in WGSL.
//! - Only `cli` prints or exits. No global state.
//! - No `if architecture == ...` outside that architecture's own file.
//!
//! # Glossary
//!
//! - *row*: the last dimension of a tensor is contiguous; a `(n, k)` tensor has `n` rows of `k`.
//! - *block*: 32 consecutive weights of a row. *Super-block*: 8 blocks (K-quants).
//! - *group*: 4 consecutive rows of a packed weight. *Band*: 4 groups, which lie together in *tiles* of 8
//!   blocks, in the order in which a cluster reads them. *Plane*: one array of a packed weight.
//! - *image*: a plane or the input of a matrix product as a texture, which software drivers read faster.
//! - *quad*: 4 consecutive elements of a row.
//! - *cluster*: 8 lanes (invocations) that work on one result and exchange values by shuffles.
//! - *slot*: the place of a sequence in the batch. *Page*: 32 positions of one sequence in the KV pool.
//! - *twin*: the plain CPU version of a kernel, with f64 sums.

pub mod error;

pub mod tensor;

pub mod weights;

pub mod text;

pub mod store;

pub mod gpu;

pub mod graph;

pub mod kernels;

pub mod model;

pub mod engine;

pub mod vectors;

pub mod cli;

pub use error::{Error, Result};
