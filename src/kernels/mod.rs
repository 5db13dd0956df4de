//! Every kernel: one file here, one file in `shaders/`.
//!
//! [`ALL`] is the list that tests, `doctor`, `bench kernels` and `diff` walk.

mod attention;
mod embed;
mod kv;
mod matvec;
mod rms_norm;
pub mod roles;
mod rope_kv;
mod rope_scaling;

pub use attention::{Attention, attention};
pub use embed::embed;
pub use kv::{Batch, FROM_SLOT, Kv, NO_SLOT, PAGE};
pub use matvec::{Epilogue, linear};
pub use rms_norm::rms_norm;
pub use roles::Activation;
pub use rope_kv::{RopeKv, RopeTable, rope_kv};
pub use rope_scaling::{Pairs, Scaling, inv_freq, rope_table};

use crate::graph::Kernel;

/// All kernels, in the order of their names.
pub static ALL: &[&Kernel] =
    &[&attention::ATTENTION, &embed::EMBED, &matvec::MATVEC, &rms_norm::RMS_NORM, &rope_kv::ROPE_KV];
