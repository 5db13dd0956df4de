//! Every kernel: one file here, one file in `shaders/`.
//!
//! [`ALL`] is the list that tests, `doctor`, `bench kernels` and `diff` walk.

mod add;
mod argmax;
mod attention;
mod attention_merge;
mod attention_split;
mod attention_tile;
mod attention_weights;
mod cbow;
mod check;
mod cosines;
mod embed;
mod expert_capacity;
mod experts;
mod gather_rows;
mod glu;
mod inputs;
mod kv;
mod layer_norm;
mod matmul;
mod matmul_coop;
mod matmul_i8;
mod matvec;
mod matvec_normed;
pub mod measure;
mod merge_rows;
mod next_token;
mod nll;
mod peak_dot;
mod peak_fma;
mod penalise;
mod quantise_rows;
mod rms_norm;
pub mod roles;
mod rope_kv;
mod rope_scaling;
mod route;
mod sample_threshold;
mod sampling;
mod shape;
mod skip_gram;
mod soft_cap;
mod softmax;
pub mod tiles;
mod top_k;
mod tune;
mod vector_lengths;
mod watermark;

pub use add::add;
pub use attention::{Attention, Bias, Pattern, attention};
pub use attention_weights::attention_weights;
pub use cbow::{cbow, cbow_tile};
pub use check::{Report, check, check_with};
pub use cosines::cosines;
pub use embed::embed;
pub use expert_capacity::expert_capacity;
pub use experts::{expert_down, expert_up};
pub use gather_rows::gather_rows;
pub use glu::glu;
pub use inputs::{input_dtype, real_dtype};
pub use kv::{Batch, FROM_SLOT, Kv, NO_SLOT, PAGE};
pub use layer_norm::layer_norm;
pub use matvec::{Epilogue, linear};
pub use matvec_normed::{Input, normed};
pub use merge_rows::merge_rows;
pub use nll::nll;
pub use peak_dot::probed;
pub use peak_fma::peak_fma;
pub use rms_norm::{rms_norm, rms_norm_at};
pub use roles::Activation;
pub use rope_kv::{RopeKv, RopeTable, rope_kv};
pub use rope_scaling::{Pairs, Scaling, inv_freq, rope_table};
pub use route::{Routes, route};
pub use sampling::{RECENT_MAX, Sampled, Sampler, SlotSampling, sample};
pub use skip_gram::{Training, Values, skip_gram, skip_gram_tile};
pub use soft_cap::soft_cap;
pub use softmax::softmax;
pub use top_k::{LOWEST, TOP_K_MAX, Top, top_k};
pub use tune::{Product, ProductKind, Tuned, check_shapes, load_tuning, shaders_hash, tune};
pub use vector_lengths::vector_lengths;
pub use watermark::Watermark;

use crate::graph::Kernel;

/// All kernels, in the order of their names.
pub static ALL: &[&Kernel] = &[
    &add::ADD,
    &argmax::ARGMAX,
    &attention::ATTENTION,
    &attention_merge::ATTENTION_MERGE,
    &attention_split::ATTENTION_SPLIT,
    &attention_tile::ATTENTION_TILE,
    &attention_weights::ATTENTION_WEIGHTS,
    &cbow::CBOW,
    &cosines::COSINES,
    &embed::EMBED,
    &expert_capacity::EXPERT_CAPACITY,
    &experts::EXPERT_DOWN,
    &experts::EXPERT_UP,
    &gather_rows::GATHER_ROWS,
    &glu::GLU,
    &layer_norm::LAYER_NORM,
    &matmul::MATMUL,
    &matmul_coop::MATMUL_COOP,
    &matmul_i8::MATMUL_I8,
    &matvec::MATVEC,
    &matvec_normed::MATVEC_NORMED,
    &merge_rows::MERGE_ROWS,
    &next_token::NEXT_TOKEN,
    &nll::NLL,
    &peak_dot::PEAK_DOT,
    &peak_fma::PEAK_FMA,
    &penalise::PENALISE,
    &quantise_rows::QUANTISE_ROWS,
    &rms_norm::RMS_NORM,
    &rope_kv::ROPE_KV,
    &route::ROUTE,
    &sample_threshold::SAMPLE_THRESHOLD,
    &skip_gram::SKIP_GRAM,
    &softmax::SOFTMAX,
    &soft_cap::SOFT_CAP,
    &top_k::TOP_K,
    &vector_lengths::VECTOR_LENGTHS,
    &watermark::WATERMARK,
];
