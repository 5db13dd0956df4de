//! Every kernel: one file here, one file in `shaders/`.
//!
//! [`ALL`] is the list that tests, `doctor`, `bench kernels` and `diff` walk.

mod matvec;
mod rms_norm;
pub mod roles;

pub use matvec::{Epilogue, linear};
pub use rms_norm::rms_norm;

use crate::graph::Kernel;

/// All kernels, in the order of their names.
pub const ALL: &[&Kernel] = &[&matvec::MATVEC, &rms_norm::RMS_NORM];
