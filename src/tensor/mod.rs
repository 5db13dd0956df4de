//! Shapes and stored weight formats. Pure: no GPU, no files.

pub mod format;
mod shape;

pub use format::{FORMATS, Format};
pub use shape::Shape;
