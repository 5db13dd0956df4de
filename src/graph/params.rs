//! The small structs that kernels get with each launch.

/// A field of a `Params` struct, for comparing it with the shader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    /// Bytes.
    pub offset: usize,
}

/// Declares the Rust mirror of a shader's `struct Params`. All fields are 4 bytes wide (`u32`, `i32`,
/// `f32`), so the layout is the same on both sides; `tests/shaders.rs` compares names and offsets.
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty),* }

        impl $name {
            /// Names and offsets, as the shader must have them.
            pub const LAYOUT: &'static [$crate::graph::Field] = &[
                $($crate::graph::Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                }),*
            ];
        }
    };
}
pub(crate) use params;
