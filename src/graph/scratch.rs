//! Places temporaries in as few buffers as their lifetimes allow.
//!
//! wgpu orders dispatches by whole buffers, so two temporaries share a buffer only one after the
//! other, never side by side.

use super::record::{Graph, Storage, TEXEL_WORDS};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Image, Slice};

/// Buffers that several programs share, as long as they run one after another.
#[derive(Default)]
pub struct Scratch {
    buffers: Vec<Buffer>,
    /// Of octets of f16.
    images: Vec<Image>,
}

impl Scratch {
    /// Bytes allocated.
    pub fn len(&self) -> u64 {
        let images = self.images.iter().map(|image| 4 * image.words()).sum::<u64>();
        self.buffers.iter().map(Buffer::len).sum::<u64>() + images
    }

    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty() && self.images.is_empty()
    }
}

/// The places of all temporaries of a graph: for each tensor, its number of a buffer or an image.
pub(super) struct Places {
    slots: Vec<Option<usize>>,
    /// Bytes of each buffer.
    sizes: Vec<u64>,
    /// Octets of each image.
    image_sizes: Vec<u64>,
}

/// Gives each temporary a buffer from its first to its last launch.
pub(super) fn place(graph: &Graph) -> Places {
    let n = graph.tensors.len();
    let mut last = vec![0usize; n];
    for (i, launch) in graph.launches.iter().enumerate() {
        for arg in &launch.args {
            last[arg.tensor.id] = i;
        }
    }
    let mut places = Places { slots: vec![None; n], sizes: Vec::new(), image_sizes: Vec::new() };
    let (mut free, mut free_images) = (Vec::new(), Vec::new());
    for (i, launch) in graph.launches.iter().enumerate() {
        for arg in &launch.args {
            let id = arg.tensor.id;
            if !matches!(graph.tensors[id].storage, Storage::Temporary { .. }) || places.slots[id].is_some() {
                continue;
            }
            places.slots[id] = Some(match arg.tensor.texel {
                None => take(&mut free, &mut places.sizes, arg.tensor.bytes()),
                Some(_) => take(&mut free_images, &mut places.image_sizes, arg.tensor.texels()),
            });
        }
        for arg in &launch.args {
            let id = arg.tensor.id;
            if let (Storage::Temporary { keep: false }, Some(slot)) =
                (&graph.tensors[id].storage, places.slots[id])
                && last[id] == i
            {
                let free = if arg.tensor.texel.is_some() { &mut free_images } else { &mut free };
                if !free.contains(&slot) {
                    free.push(slot);
                }
            }
        }
    }
    places
}

/// The smallest free buffer that is large enough, else the largest free one, grown, else a new one.
fn take(free: &mut Vec<usize>, sizes: &mut Vec<u64>, need: u64) -> usize {
    let fits = (0..free.len()).filter(|&i| sizes[free[i]] >= need).min_by_key(|&i| sizes[free[i]]);
    let chosen = fits.or_else(|| (0..free.len()).max_by_key(|&i| sizes[free[i]]));
    match chosen {
        Some(i) => {
            let slot = free.swap_remove(i);
            sizes[slot] = sizes[slot].max(need);
            slot
        }
        None => {
            sizes.push(need);
            sizes.len() - 1
        }
    }
}

impl Places {
    /// Allocates what `scratch` lacks and gives the memory of tensor `id`.
    pub fn allocate(&self, gpu: &Gpu, scratch: &mut Scratch) -> Result<()> {
        for (i, &need) in self.sizes.iter().enumerate() {
            match scratch.buffers.get(i) {
                Some(buffer) if buffer.len() >= need => {}
                Some(_) => scratch.buffers[i] = gpu.buffer("scratch", need)?,
                None => scratch.buffers.push(gpu.buffer("scratch", need)?),
            }
        }
        for (i, &need) in self.image_sizes.iter().enumerate() {
            match scratch.images.get(i) {
                Some(image) if image.words() >= 4 * need => {}
                Some(_) => scratch.images[i] = gpu.image("scratch", need, TEXEL_WORDS)?,
                None => scratch.images.push(gpu.image("scratch", need, TEXEL_WORDS)?),
            }
        }
        Ok(())
    }

    /// The number of the buffer or image that tensor `id` is in.
    pub fn slot(&self, id: usize) -> Option<usize> {
        self.slots[id]
    }

    /// The image of tensor `id`, if it is one.
    pub fn image(&self, id: usize, scratch: &Scratch) -> Option<Image> {
        Some(scratch.images[self.slots[id]?].clone())
    }

    pub fn slice(&self, id: usize, len: u64, scratch: &Scratch) -> Option<Slice> {
        let buffer = scratch.buffers[self.slots[id]?].clone();
        Some(Slice { buffer, offset: 0, len })
    }
}
