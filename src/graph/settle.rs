//! Which tensors become images of quads of f32, once all that uses them is recorded.

use std::collections::HashMap;
use std::sync::Arc;

use super::images::quads_of_f32;
use super::launch::Launch;
use super::link::shader_text;
use super::record::{Binding, Dtype, Graph, Storage, TEXEL_WORDS};
use crate::error::Result;
use crate::gpu::IMAGE_LEN_MAX;

impl Graph {
    /// Makes images of the tensors that all kernels read and write by quads of f32, where the device is
    /// faster so: temporaries, and what tests bring from the host. Nothing may be recorded afterwards.
    pub fn settle(&mut self) -> Result<()> {
        if !(self.caps().images && self.caps().images_updated) {
            return Ok(());
        }
        let is_open = |storage: &Storage| {
            matches!(storage, Storage::Temporary { .. } | Storage::External(Binding::Host(_)))
        };
        let mut wanted: Vec<bool> = Vec::new();
        for info in &self.tensors {
            let is_f32 = info.tensor.dtype == Dtype::F32 && info.tensor.texel.is_none();
            wanted.push(is_f32 && info.tensor.quads() <= IMAGE_LEN_MAX && is_open(&info.storage));
        }
        let mut known: HashMap<&str, Vec<(u32, u32)>> = HashMap::new();
        for launch in &self.launches {
            if !known.contains_key(launch.label.as_str()) {
                known.insert(&launch.label, declared(launch)?);
            }
            let quads = &known[launch.label.as_str()];
            let mut next = [0; 3];
            for arg in &launch.args {
                let binding = &mut next[arg.group as usize];
                wanted[arg.tensor.id] &= quads.contains(&(arg.group, *binding));
                *binding += 1;
            }
        }
        for (info, _) in self.tensors.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted) {
            info.tensor.texel = Some(TEXEL_WORDS);
            if let Storage::External(Binding::Host(words)) = &info.storage {
                info.storage = Storage::External(Binding::HostImage(Arc::clone(words), TEXEL_WORDS));
            }
        }
        for arg in self.launches.iter_mut().flat_map(|launch| &mut launch.args) {
            arg.tensor.texel = self.tensors[arg.tensor.id].tensor.texel;
        }
        Ok(())
    }
}

/// Where the files of a launch declare quads of f32. Its label names them.
fn declared(launch: &Launch) -> Result<Vec<(u32, u32)>> {
    let files = std::iter::once(&launch.kernel.wgsl).chain(launch.files.iter().map(|(_, file)| file));
    let texts = files.map(shader_text).collect::<Result<Vec<_>>>()?;
    Ok(texts.iter().flat_map(|text| quads_of_f32(text)).collect())
}
