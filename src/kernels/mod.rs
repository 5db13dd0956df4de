//! Every kernel: one file here, one file in `shaders/`.
//!
//! [`ALL`] is the list that tests, `doctor`, `bench kernels` and `diff` walk.

mod add;
mod argmax;
mod attention;
mod check;
mod embed;
mod expert_capacity;
mod experts;
mod gather_rows;
mod glu;
mod kv;
mod layer_norm;
mod matvec;
pub mod measure;
mod next_token;
mod nll;
mod peak_fma;
mod penalise;
mod rms_norm;
pub mod roles;
mod rope_kv;
mod rope_scaling;
mod route;
mod sample_threshold;
mod sampling;
mod soft_cap;
mod softmax;
mod tune;

pub use add::add;
pub use attention::{Attention, Bias, Pattern, attention};
pub use check::{Report, check, check_with};
pub use embed::embed;
pub use expert_capacity::expert_capacity;
pub use experts::{expert_down, expert_up};
pub use gather_rows::gather_rows;
pub use glu::glu;
pub use kv::{Batch, FROM_SLOT, Kv, NO_SLOT, PAGE};
pub use layer_norm::layer_norm;
pub use matvec::{Epilogue, linear};
pub use nll::nll;
pub use peak_fma::peak_fma;
pub use rms_norm::{rms_norm, rms_norm_at};
pub use roles::Activation;
pub use rope_kv::{RopeKv, RopeTable, rope_kv};
pub use rope_scaling::{Pairs, Scaling, inv_freq, rope_table};
pub use route::{Routes, route};
pub use sampling::{RECENT_MAX, Sampled, Sampler, SlotSampling, sample};
pub use soft_cap::soft_cap;
pub use softmax::softmax;
pub use tune::{Product, ProductKind, Tuned, check_shapes, load_tuning, shaders_hash, tune};

use crate::graph::Kernel;

/// All kernels, in the order of their names.
pub static ALL: &[&Kernel] = &[
    &add::ADD,
    &argmax::ARGMAX,
    &attention::ATTENTION,
    &embed::EMBED,
    &expert_capacity::EXPERT_CAPACITY,
    &experts::EXPERT_DOWN,
    &experts::EXPERT_UP,
    &gather_rows::GATHER_ROWS,
    &glu::GLU,
    &layer_norm::LAYER_NORM,
    &matvec::MATVEC,
    &next_token::NEXT_TOKEN,
    &nll::NLL,
    &peak_fma::PEAK_FMA,
    &penalise::PENALISE,
    &rms_norm::RMS_NORM,
    &rope_kv::ROPE_KV,
    &route::ROUTE,
    &sample_threshold::SAMPLE_THRESHOLD,
    &soft_cap::SOFT_CAP,
    &softmax::SOFTMAX,
];
