//! The keys and values of all layers, in pages.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, IMAGE_LEN_MAX, Image, Slice};
use crate::graph::{Binding, Dtype, Graph, Tensor, half_texel_words};
use crate::kernels::Kv;
use crate::model::Decoder;

/// The keys or the values of one layer.
enum Pool {
    Buffer(Buffer),
    /// Where the device reads images faster.
    Image(Image),
}

pub(super) struct KvPool {
    /// Keys and values of each layer.
    layers: Vec<(Pool, Pool)>,
    pub n_pages: usize,
    dtype: Dtype,
    n_kv_heads: usize,
    head_dim: usize,
    /// What pages pass through when they are copied.
    between: Option<Buffer>,
}

/// Words of a texel of the pools, by what graphs take this device to be able to: lanes whose exchanges were
/// found to be wrong write no octets.
fn texel_words(gpu: &Gpu, head_dim: usize) -> u32 {
    half_texel_words(Graph::on(gpu).caps(), head_dim)
}

impl KvPool {
    /// `n_pages` pages for each layer of `d`.
    pub fn new(gpu: &Gpu, d: &Decoder, n_pages: usize, dtype: Dtype) -> Result<KvPool> {
        let (n_kv_heads, head_dim) = (d.n_kv_heads, d.head_dim);
        let bytes = 4 * Kv::words(n_pages, n_kv_heads, head_dim, dtype) as u64;
        if bytes > gpu.caps().binding_bytes_max {
            return Err(Error::OutOfMemory {
                need: bytes,
                have: Some(gpu.caps().binding_bytes_max),
                advice: "for the KV cache of one layer; try a smaller --context or fewer sequences".into(),
            });
        }
        let texel_words = texel_words(gpu, head_dim);
        let texels = bytes / 4 / u64::from(texel_words);
        let in_images = gpu.caps().images && dtype == Dtype::F16 && texels <= IMAGE_LEN_MAX;
        let pool = |name| {
            Ok(match in_images {
                true => Pool::Image(gpu.image(name, texels, texel_words)?),
                false => Pool::Buffer(gpu.buffer(name, bytes)?),
            })
        };
        let layer = |_| Ok((pool("keys")?, pool("values")?));
        let layers = (0..d.n_layers).map(layer).collect::<Result<_>>()?;
        Ok(KvPool { layers, n_pages, dtype, n_kv_heads, head_dim, between: None })
    }

    /// The pools of each layer in `g`.
    pub fn tensors(&self, g: &mut Graph) -> Vec<Kv> {
        let words = Kv::words(self.n_pages, self.n_kv_heads, self.head_dim, self.dtype);
        let n = match self.dtype {
            Dtype::F16 => 2 * words,
            Dtype::Q8 => words / 9 * 32,
            Dtype::F32 | Dtype::U32 | Dtype::Q8Sums => words,
        };
        let mut pool = |pool: &Pool| -> Tensor {
            let (label, binding) = match pool {
                Pool::Buffer(buffer) => {
                    let slice = Slice { buffer: buffer.clone(), offset: 0, len: 4 * words as u64 };
                    (buffer.label(), Binding::Device(slice))
                }
                Pool::Image(image) => (image.label(), Binding::Image(image.clone())),
            };
            g.external(label, 1, n, self.dtype, binding)
        };
        let kv = |(k, v): &(Pool, Pool)| Kv {
            k: pool(k),
            v: pool(v),
            dtype: self.dtype,
            n_kv_heads: self.n_kv_heads,
            head_dim: self.head_dim,
        };
        self.layers.iter().map(kv).collect()
    }

    /// Copies pages (from, to) in all layers, before whatever is submitted next.
    pub fn copy(&mut self, gpu: &Gpu, pages: &[(u32, u32)]) -> Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let bytes = 4 * Kv::words(1, self.n_kv_heads, self.head_dim, self.dtype) as u64;
        let pools: Vec<&Pool> = self.layers.iter().flat_map(|(k, v)| [k, v]).collect();
        let need = bytes * (pages.len() * pools.len()) as u64;
        // A buffer cannot be copied to itself.
        if self.between.as_ref().is_none_or(|between| between.len() < need) {
            self.between = Some(gpu.buffer("pages on their way", need)?);
        }
        let between = self.between.as_ref().expect("it was just made");
        let mut submission = gpu.begin();
        let texels = |image: &Image| bytes / 4 / u64::from(image.texel_words());
        let moves = || pages.iter().flat_map(|page| pools.iter().map(move |pool| (page, *pool)));
        for (i, (&(from, _), pool)) in moves().enumerate() {
            let at = bytes * i as u64;
            match pool {
                Pool::Buffer(buffer) => {
                    let from = Slice { buffer: buffer.clone(), offset: bytes * u64::from(from), len: bytes };
                    submission.copy(&from, between, at);
                }
                Pool::Image(image) => {
                    let n = texels(image);
                    submission.copy_from_image(image, n * u64::from(from), n, between, at);
                }
            }
        }
        for (i, (&(_, to), pool)) in moves().enumerate() {
            let at = bytes * i as u64;
            match pool {
                Pool::Buffer(buffer) => {
                    let from = Slice { buffer: between.clone(), offset: at, len: bytes };
                    submission.copy(&from, buffer, bytes * u64::from(to));
                }
                Pool::Image(image) => {
                    let n = texels(image);
                    submission.copy_to_image(between, at, image, n * u64::from(to), n);
                }
            }
        }
        submission.submit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Options, Tuning};
    use crate::graph::SUBGROUPS;

    /// Pages of 960 quads, which begin and end inside the rows of an image.
    const SHAPE: (usize, usize) = (5, 24);

    #[test]
    fn lanes_that_cannot_exchange_write_no_octets() {
        let gpu = Gpu::open(&Options::default()).expect("tests need an adapter; a software driver will do");
        let words = if gpu.caps().subgroup_min >= 4 { 4 } else { 2 };
        assert_eq!([64, 20].map(|head_dim| texel_words(&gpu, head_dim)), [words, 2]);
        let mut tuning = Tuning::default();
        tuning.failed.insert(SUBGROUPS.to_owned(), "wrong".to_owned());
        gpu.set_tuning(tuning);
        assert_eq!(texel_words(&gpu, 64), 2);
    }

    #[test]
    fn pages_are_copied_in_buffers_and_in_images() {
        let gpu = Gpu::open(&Options::default()).expect("tests need an adapter; a software driver will do");
        let page = Kv::words(1, SHAPE.0, SHAPE.1, Dtype::F16);
        let words: Vec<u32> = (0..3 * page as u32).collect();
        let image = gpu.image_with("keys", &words, 2).unwrap();
        let buffer = gpu.buffer_with("values", bytemuck::cast_slice(&words)).unwrap();
        let layers = vec![(Pool::Image(image.clone()), Pool::Buffer(buffer.clone()))];
        let (n_kv_heads, head_dim) = SHAPE;
        let mut pool = KvPool { layers, n_pages: 3, dtype: Dtype::F16, n_kv_heads, head_dim, between: None };
        // All are read before any is written.
        pool.copy(&gpu, &[(0, 2), (2, 1)]).unwrap();
        let expected = [&words[..page], &words[2 * page..], &words[..page]].concat();
        assert!(gpu.read_image(&image).unwrap()[..3 * page] == expected[..]);
        let bytes = gpu.read(&buffer, 0, 4 * expected.len() as u64).unwrap();
        assert!(bytemuck::pod_collect_to_vec::<u8, u32>(&bytes) == expected);
    }
}
