//! Planes of words as images, which software drivers read faster than buffers.

use super::buffer::Buffer;
use super::device::Gpu;
use super::plan::Submission;
use crate::error::{Error, Result};

/// Texels of a row of every image.
pub const IMAGE_WIDTH: u32 = 1024;

/// The elements that every image may have: the rows that every driver gives.
pub const IMAGE_LEN_MAX: u64 = IMAGE_WIDTH as u64 * 8192;

/// A plane of elements of 1, 2 or 4 words, row after row. Cheap to clone: clones share the memory.
#[derive(Clone, Debug)]
pub struct Image {
    raw: wgpu::Texture,
    pub(super) view: wgpu::TextureView,
    label: String,
    /// Words of an element.
    n_words: u32,
    /// Elements.
    len: u64,
}

impl Image {
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Words of an element.
    pub fn texel_words(&self) -> u32 {
        self.n_words
    }

    /// Words in all.
    pub fn words(&self) -> u64 {
        self.len * u64::from(self.n_words)
    }
}

pub(super) fn format(n_words: u32) -> wgpu::TextureFormat {
    match n_words {
        1 => wgpu::TextureFormat::R32Uint,
        2 => wgpu::TextureFormat::Rg32Uint,
        _ => wgpu::TextureFormat::Rgba32Uint,
    }
}

/// Words of a texel of a storage image, as naga names its format.
pub(super) fn n_words(format: wgpu::naga::StorageFormat) -> Option<u32> {
    use wgpu::naga::StorageFormat;
    match format {
        StorageFormat::R32Uint => Some(1),
        StorageFormat::Rg32Uint => Some(2),
        StorageFormat::Rgba32Uint => Some(4),
        _ => None,
    }
}

/// The parts of rows that `n` elements from `first` on are: where each begins, its length, and its
/// offset in bytes.
fn row_parts(first: u64, n: u64, n_words: u32) -> impl Iterator<Item = (wgpu::Origin3d, u32, u64)> {
    let width = u64::from(IMAGE_WIDTH);
    let mut at = first;
    std::iter::from_fn(move || {
        let length = (first + n - at).min(width - at % width);
        let origin = wgpu::Origin3d { x: (at % width) as u32, y: (at / width) as u32, z: 0 };
        let offset = 4 * u64::from(n_words) * (at - first);
        at += length;
        (length > 0).then_some((origin, length as u32, offset))
    })
}

impl Submission<'_> {
    /// Copies `n` elements of an image, from `first` on, to byte `offset` of a buffer.
    pub fn copy_from_image(&mut self, image: &Image, first: u64, n: u64, to: &Buffer, offset: u64) {
        for (origin, length, part) in row_parts(first, n, image.n_words) {
            let (texture, buffer, size) = image.row(origin, length, to, offset + part);
            self.encoder().copy_texture_to_buffer(texture, buffer, size);
        }
    }

    /// Copies from byte `offset` of a buffer to `n` elements of an image, from `first` on.
    pub fn copy_to_image(&mut self, from: &Buffer, offset: u64, image: &Image, first: u64, n: u64) {
        for (origin, length, part) in row_parts(first, n, image.n_words) {
            let (texture, buffer, size) = image.row(origin, length, from, offset + part);
            self.encoder().copy_buffer_to_texture(buffer, texture, size);
        }
    }
}

impl Image {
    /// The ends of a copy of `length` elements of one row.
    fn row<'a>(
        &'a self,
        origin: wgpu::Origin3d,
        length: u32,
        buffer: &'a Buffer,
        offset: u64,
    ) -> (wgpu::TexelCopyTextureInfo<'a>, wgpu::TexelCopyBufferInfo<'a>, wgpu::Extent3d) {
        let aspect = wgpu::TextureAspect::All;
        let texture = wgpu::TexelCopyTextureInfo { texture: &self.raw, mip_level: 0, origin, aspect };
        let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row: None, rows_per_image: None };
        let size = wgpu::Extent3d { width: length, height: 1, depth_or_array_layers: 1 };
        (texture, wgpu::TexelCopyBufferInfo { buffer: &buffer.raw, layout }, size)
    }
}

impl Gpu {
    /// Allocates an image of `len` elements of `n_words` words (1, 2 or 4).
    pub fn image(&self, label: &str, len: u64, n_words: u32) -> Result<Image> {
        if len > IMAGE_LEN_MAX {
            return Err(Error::Gpu(format!("{label}: an image holds {IMAGE_LEN_MAX} elements, not {len}")));
        }
        let descriptor = wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d {
                width: IMAGE_WIDTH,
                height: len.div_ceil(u64::from(IMAGE_WIDTH)).max(1) as u32,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: format(n_words),
            usage: wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        };
        let bytes = 4 * len * u64::from(n_words);
        let (raw, view) = self.checked(label, bytes, || {
            let raw = self.device().create_texture(&descriptor);
            let view = raw.create_view(&Default::default());
            (raw, view)
        })?;
        Ok(Image { raw, view, label: label.to_owned(), n_words, len })
    }

    /// An image that holds `words`.
    pub fn image_with(&self, label: &str, words: &[u32], n_words: u32) -> Result<Image> {
        let image = self.image(label, words.len() as u64 / u64::from(n_words), n_words)?;
        self.upload_image(&image, 0, words)?;
        Ok(image)
    }

    /// Writes whole elements from word `first` on, the first of an element, before the next submission.
    pub fn upload_image(&self, image: &Image, first: usize, words: &[u32]) -> Result<()> {
        let n_words = image.n_words as usize;
        let width = IMAGE_WIDTH as usize;
        let mut at = first / n_words;
        let mut rest = words;
        while !rest.is_empty() {
            // Up to the end of a row, then whole rows, then the rest.
            let n = rest.len() / n_words;
            let (row, column) = (at / width, at % width);
            let (n, rows) = match column {
                0 if n >= width => (n / width * width, n / width),
                _ => (n.min(width - column), 1),
            };
            let (piece, tail) = rest.split_at(n * n_words);
            self.queue().write_texture(
                wgpu::TexelCopyTextureInfo {
                    texture: &image.raw,
                    mip_level: 0,
                    origin: wgpu::Origin3d { x: column as u32, y: row as u32, z: 0 },
                    aspect: wgpu::TextureAspect::All,
                },
                bytemuck::cast_slice(piece),
                wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some((n / rows * n_words * 4) as u32),
                    rows_per_image: None,
                },
                wgpu::Extent3d { width: (n / rows) as u32, height: rows as u32, depth_or_array_layers: 1 },
            );
            at += n;
            rest = tail;
        }
        self.check()
    }

    /// The words of an image; waits for everything submitted before.
    pub fn read_image(&self, image: &Image) -> Result<Vec<u32>> {
        let row_bytes = u64::from(IMAGE_WIDTH * image.n_words * 4);
        let size = image.raw.size();
        let buffer = self.buffer(&image.label, row_bytes * u64::from(size.height))?;
        let mut encoder = self.device().create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(
            image.raw.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer.raw,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row_bytes as u32),
                    rows_per_image: None,
                },
            },
            size,
        );
        self.queue().submit([encoder.finish()]);
        let bytes = self.read(&buffer, 0, 4 * image.words())?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_row_by_row() {
        let parts = |first, n| -> Vec<(u32, u32, u32, u64)> {
            row_parts(first, n, 2).map(|(at, length, offset)| (at.x, at.y, length, offset)).collect()
        };
        assert_eq!(parts(1000, 1100), [(1000, 0, 24, 0), (0, 1, 1024, 192), (0, 2, 52, 8384)]);
        assert_eq!(parts(2048, 1024), [(0, 2, 1024, 0)]);
        assert_eq!(parts(5, 0), []);
    }
}
