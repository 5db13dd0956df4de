//! Recording, linking and replaying kernels.
//!
//! A [`Kernel`] is declared beside its CPU twin. Recording functions add launches of kernels to a
//! [`Graph`]; [`Graph::build`] links their shaders, places temporaries in scratch memory and gives a
//! [`Program`], whose plan is replayed on the GPU and whose launches can be replayed on the twins.

mod hazards;
mod images;
mod join;
mod kernel;
mod launch;
mod link;
mod params;
mod program;
mod record;
mod scratch;
mod settle;
mod twin;
mod weight;

pub use hazards::Waits;
pub use kernel::{Case, Inputs, Kernel, Role};
pub use launch::{Access, Launch, LaunchBuilder};
pub use link::{ConfigValue, Wgsl, library, shader_text};
pub use params::Field;
pub use program::{Difference, Program};
pub use record::{Binding, Dtype, Graph, POLLS_MAX, Rows, SUBGROUPS, TEXEL_WORDS, Tensor, half_texel_words};
pub use scratch::Scratch;
pub use twin::{Call, Compared};
pub use weight::{PackedWeight, RowSource, WeightChunk};

pub(crate) use link::wgsl;
pub(crate) use params::params;
