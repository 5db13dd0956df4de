//! A graph made ready for a device: compiled, placed, replayable.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::hazards::{self, Touched, Waits};
use super::join;
use super::launch::{Access, Launch, WeightArgument};
use super::record::{Binding, Graph, Storage, Tensor};
use super::scratch::{Places, Scratch, place};
use super::twin::{Call, Compared};
use crate::error::{Error, Result};
use crate::gpu::{Bound, Buffer, Extent, Gpu, Image, Plan, Sizes, Slice, Source, Step};

/// A recorded graph with its plan.
pub struct Program {
    pub plan: Plan,
    launches: Vec<Launch>,
    /// The launches of each step of the plan.
    dispatches: Vec<Range<usize>>,
    /// The memory of each tensor.
    slices: Vec<Option<Slice>>,
    /// Of tensors that are images, by id.
    images: HashMap<usize, Image>,
    names: Vec<String>,
    /// Whether each tensor is in scratch memory.
    temporary: Vec<bool>,
}

/// The outcome of one launch compared with its twin.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The place in the list of launches.
    pub index: usize,
    pub label: String,
    pub compared: Compared,
    /// The names of the arguments.
    pub arguments: Vec<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let c = &self.compared;
        write!(
            f,
            "launch {} ({}): {} of {} elements differ from the twin",
            self.index, self.label, c.n_wrong, c.n
        )?;
        if let Some((argument, index, expected, found, tolerance)) = c.first {
            let name = self.arguments.get(argument).map_or("", |name| name);
            write!(
                f,
                "; first {name}[{index}]: expected {expected}, found {found}, tolerance {tolerance:.3e}"
            )?;
        }
        Ok(())
    }
}

impl Graph {
    /// Links and compiles the shaders (in parallel), places temporaries and prepares every dispatch.
    pub fn build(mut self, gpu: &Gpu, scratch: &mut Scratch) -> Result<Program> {
        self.settle()?;
        let places = place(&self);
        places.allocate(gpu, scratch)?;
        let mut slices = Vec::with_capacity(self.tensors.len());
        let mut images = HashMap::new();
        for info in &self.tensors {
            slices.push(match &info.storage {
                Storage::External(Binding::Device(slice)) => Some(slice.clone()),
                Storage::External(Binding::Host(words)) => {
                    let buffer = gpu.buffer_with(&info.name, bytemuck::cast_slice(words))?;
                    Some(Slice { buffer, offset: 0, len: 4 * words.len().max(1) as u64 })
                }
                Storage::External(Binding::Image(image)) => {
                    images.insert(info.tensor.id, image.clone());
                    None
                }
                Storage::External(Binding::HostImage(words, n_words)) => {
                    images.insert(info.tensor.id, gpu.image_with(&info.name, words, *n_words)?);
                    None
                }
                Storage::Temporary { .. } if info.tensor.texel.is_some() => {
                    images.extend(places.image(info.tensor.id, scratch).map(|image| (info.tensor.id, image)));
                    None
                }
                Storage::Temporary { .. } => {
                    places.slice(info.tensor.id, info.tensor.bytes().max(4), scratch)
                }
            });
        }
        let dispatches = join::dispatches(&self);
        let sources = self.sources_of(&dispatches, &places)?;
        let mut distinct: Vec<&Source> = Vec::new();
        let mut seen: HashMap<&str, ()> = HashMap::new();
        for source in &sources {
            if seen.insert(&source.wgsl, ()).is_none() {
                distinct.push(source);
            }
        }
        distinct.par_iter().try_for_each(|source| gpu.pipeline(source).map(|_| ()))?;
        let names: Vec<String> = self.tensors.iter().map(|info| info.name.clone()).collect();
        let temporary = self.tensors.iter().map(|info| matches!(info.storage, Storage::Temporary { .. }));
        let temporary = temporary.collect();
        let mut plan = Plan::default();
        let mut counters = None;
        for (range, source) in dispatches.iter().zip(&sources) {
            let step = match &self.launches[range.clone()] {
                [launch] => alone(gpu, launch, source, &slices, &images, &names)?,
                launches => {
                    let mut all = Vec::new();
                    for launch in launches {
                        all.extend(bindings(launch, &slices, &images, &names)?.into_iter().flatten());
                    }
                    let counters = match &counters {
                        Some(slice) => slice,
                        None => counters.insert(join::counters(gpu)?),
                    };
                    all.push(Bound::Slice(counters.clone()));
                    let (params, patches) = join::params();
                    let threads = Extent::Fixed(gpu.caps().threads);
                    let grid = [threads, Extent::Fixed(1), Extent::Fixed(1)];
                    Step::new(gpu, gpu.pipeline(source)?, &[all], params, patches, grid)?
                }
            };
            plan.steps.push(step);
        }
        Ok(Program { plan, launches: self.launches, dispatches, slices, images, names, temporary })
    }

    /// The text of each dispatch.
    pub fn sources(&mut self) -> Result<Vec<Source>> {
        self.settle()?;
        self.sources_of(&join::dispatches(self), &place(self))
    }

    fn sources_of(&self, dispatches: &[Range<usize>], places: &Places) -> Result<Vec<Source>> {
        let source = |range: &Range<usize>| match &self.launches[range.clone()] {
            [launch] => launch.source(),
            launches => join::source(self, places, launches),
        };
        dispatches.par_iter().map(source).collect()
    }
}

/// A launch as a dispatch of its own.
fn alone(
    gpu: &Gpu,
    launch: &Launch,
    source: &Source,
    slices: &[Option<Slice>],
    images: &HashMap<usize, Image>,
    names: &[String],
) -> Result<Step> {
    let pipeline = gpu.pipeline(source)?;
    check_access(launch, &pipeline.layout)?;
    let bindings = bindings(launch, slices, images, names)?;
    let patches = launch.patches.iter().map(|&(at, size)| (at, Extent::Per(size, 1))).collect();
    Step::new(gpu, pipeline, &bindings, launch.params.clone(), patches, launch.grid)
}

/// What dispatches may have in common.
#[derive(PartialEq, Eq, Hash)]
enum Touching {
    Buffer(Buffer),
    Tensor(usize),
}

/// The memory of each argument by group and binding.
fn bindings(
    launch: &Launch,
    slices: &[Option<Slice>],
    images: &HashMap<usize, Image>,
    names: &[String],
) -> Result<Vec<Vec<Bound>>> {
    let mut groups: Vec<Vec<Bound>> = vec![Vec::new(); 3];
    let bound = |tensor: &Tensor| {
        if let Some(image) = images.get(&tensor.id) {
            return Ok(Bound::Image(image.clone()));
        }
        slices[tensor.id].clone().map(Bound::Slice).ok_or_else(|| {
            Error::Gpu(format!("{}: {} is read before anything writes it", launch.label, names[tensor.id]))
        })
    };
    for arg in &launch.args {
        groups[arg.group as usize].push(bound(&arg.tensor)?);
    }
    for plane in launch.weight.iter().flat_map(|weight| &weight.planes) {
        groups[1].push(bound(plane)?);
    }
    Ok(groups)
}

/// Fails where the recording and the shader disagree on what is bound and what is written.
fn check_access(launch: &Launch, layout: &[crate::gpu::BindingLayout]) -> Result<()> {
    let mut next = [0u32; 3];
    let mut declared = Vec::new();
    for arg in &launch.args {
        let binding = &mut next[arg.group as usize];
        declared.push((arg.group, *binding, arg.access != Access::Read, arg.tensor.texel));
        *binding += 1;
    }
    for plane in launch.weight.iter().flat_map(WeightArgument::elements) {
        declared.push((1, next[1], false, plane));
        next[1] += 1;
    }
    declared.sort_unstable();
    let found: Vec<_> = layout.iter().map(|b| (b.group, b.binding, b.writes, b.image)).collect();
    if declared != found {
        return Err(Error::Gpu(format!(
            "{}: recorded bindings (group, binding, written, words of a texel) {declared:?}, the shader has {found:?}",
            launch.label
        )));
    }
    Ok(())
}

impl Program {
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// The launches of each dispatch.
    pub fn dispatches(&self) -> &[Range<usize>] {
        &self.dispatches
    }

    /// How often a replay of all launches waits, each a dispatch of its own.
    pub fn waits(&self) -> Waits {
        let touched = |launch: &Launch, what: &dyn Fn(&Tensor) -> Touching| -> Touched<Touching> {
            launch.args.iter().map(|arg| (what(&arg.tensor), arg.access != Access::Read)).collect()
        };
        let buffer = |tensor: &Tensor| match self.slice(*tensor) {
            Some(slice) => Touching::Buffer(slice.buffer.clone()),
            None => Touching::Tensor(tensor.id),
        };
        let tensor = |tensor: &Tensor| match self.temporary[tensor.id] {
            true => Touching::Tensor(tensor.id),
            false => buffer(tensor),
        };
        let by_buffers: Vec<_> = self.launches.iter().map(|launch| touched(launch, &buffer)).collect();
        let by_tensors: Vec<_> = self.launches.iter().map(|launch| touched(launch, &tensor)).collect();
        Waits { by_buffers: hazards::count(&by_buffers), by_tensors: hazards::count(&by_tensors) }
    }

    /// The memory of a tensor, if any launch uses it.
    pub fn slice(&self, tensor: Tensor) -> Option<&Slice> {
        self.slices[tensor.id].as_ref()
    }

    /// The elements of a tensor, read back.
    pub fn read(&self, gpu: &Gpu, tensor: Tensor) -> Result<Vec<f64>> {
        Ok(tensor.dtype.decode(&self.words(gpu, tensor)?))
    }

    fn words(&self, gpu: &Gpu, tensor: Tensor) -> Result<Vec<u32>> {
        if let Some(image) = self.images.get(&tensor.id) {
            let mut words = gpu.read_image(image)?;
            // Scratch images are shared by tensors of other lengths.
            words.truncate(tensor.dtype.words(tensor.n_rows() * tensor.pitch()));
            return Ok(words);
        }
        let Some(slice) = self.slice(tensor) else { return Ok(Vec::new()) };
        let bytes = gpu.read(&slice.buffer, slice.offset, slice.len)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Runs the plan launch by launch. Before each, reads its arguments back and runs the twin on
    /// them; after it, compares. So an error shows at the launch that makes it and nowhere later.
    ///
    /// `each` gets every comparison and says whether to go on.
    pub fn check(&self, gpu: &Gpu, sizes: &Sizes, mut each: impl FnMut(&Difference) -> bool) -> Result<()> {
        for (index, launch) in self.launches.iter().enumerate() {
            let step = alone(gpu, launch, &launch.source()?, &self.slices, &self.images, &self.names)?;
            let read = |tensor: &Tensor| self.words(gpu, *tensor);
            let before = launch.args.iter().map(|arg| read(&arg.tensor)).collect::<Result<_>>()?;
            let planes = launch.weight.iter().flat_map(|weight| &weight.planes);
            let planes = planes.map(read).collect::<Result<_>>()?;
            let mut call = Call::new(launch, sizes, before, planes);
            (launch.kernel.twin)(&mut call)?;
            let mut submission = gpu.begin();
            submission.replay_steps([&step], sizes);
            submission.submit()?;
            let after: Vec<_> = launch.args.iter().map(|arg| read(&arg.tensor)).collect::<Result<_>>()?;
            let compared = call.compare(&after)?;
            let arguments = launch.args.iter().map(|arg| self.names[arg.tensor.id].clone()).collect();
            if !each(&Difference { index, label: launch.label.clone(), compared, arguments }) {
                break;
            }
        }
        Ok(())
    }
}
