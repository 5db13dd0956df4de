//! Launches of kernels: what a recording function says of one, and what is known of it afterwards.

use super::images;
use super::kernel::{Kernel, Role};
use super::link::{ConfigValue, Wgsl, link};
use super::record::{Dtype, Graph, Tensor};
use super::weight::WeightChunk;
use crate::error::{Error, Result};
use crate::gpu::{self, Extent, Size};
use crate::tensor::Format;

/// Tokens up to which a launch is short.
const FEW_TOKENS: usize = 8;

/// What a launch does with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    /// Reads and writes: elements that the kernel does not touch keep their values.
    Update,
}

#[derive(Debug, Clone, Copy)]
pub struct Argument {
    pub tensor: Tensor,
    pub access: Access,
    pub group: u32,
}

/// The rows of a weight that a launch multiplies with.
#[derive(Debug, Clone)]
pub struct WeightArgument {
    pub name: String,
    pub format: &'static Format,
    /// Rows of this chunk, a multiple of 4, and its columns as blocks of 32.
    pub n_rows: usize,
    pub n_blocks: usize,
    /// Whether the planes are images.
    pub images: bool,
    pub(super) planes: Vec<Tensor>,
}

impl WeightArgument {
    /// For each plane the words of a texel, where it is an image.
    pub(super) fn elements(&self) -> impl Iterator<Item = Option<u32>> {
        self.format.planes.iter().map(|plane| self.images.then_some(plane.element_words() as u32))
    }
}

/// One recorded launch.
#[derive(Clone)]
pub struct Launch {
    pub kernel: &'static Kernel,
    pub label: String,
    pub roles: Vec<(&'static str, &'static str)>,
    pub(super) files: Vec<(&'static str, Wgsl)>,
    pub config: Vec<(&'static str, ConfigValue)>,
    pub params: Vec<u8>,
    pub patches: Vec<(usize, Size)>,
    pub args: Vec<Argument>,
    pub weight: Option<WeightArgument>,
    pub grid: [Extent; 3],
    /// Terms of the longest sum, which the tolerance depends on.
    pub n_terms: usize,
    /// Rounds of all its loops, all workgroups together and at most, where that is known.
    pub(super) rounds: Option<usize>,
}

impl Launch {
    /// Links the shader of this launch.
    pub fn source(&self) -> Result<gpu::Source> {
        let mut next = [0u32; 3];
        let mut images = Vec::new();
        for arg in &self.args {
            let binding = &mut next[arg.group as usize];
            if arg.tensor.texel.is_some() {
                let blocks = arg.tensor.dtype == Dtype::Q8Sums;
                images.push(images::At { group: arg.group, binding: *binding, blocks });
            }
            *binding += 1;
        }
        for texel in self.weight.iter().flat_map(WeightArgument::elements) {
            images.extend(texel.map(|_| images::At { group: 1, binding: next[1], blocks: false }));
            next[1] += 1;
        }
        link(&self.label, self.kernel.wgsl, &self.files, &self.config, &images)
    }

    /// Lanes of a workgroup, where the launch says.
    pub(super) fn workgroup_lanes(&self) -> Option<u32> {
        match self.config.iter().find(|(name, _)| *name == "WG_SIZE") {
            Some((_, ConfigValue::U32(lanes))) => Some(*lanes),
            _ => None,
        }
    }
}

/// A launch being described. Nothing is recorded before [`LaunchBuilder::record`].
#[must_use = "a launch is recorded by `record`"]
pub struct LaunchBuilder<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) launch: Launch,
    pub(super) error: Option<Error>,
}

impl LaunchBuilder<'_> {
    /// The file that plays `role`, by its name in the role's list, instead of what was chosen before.
    pub fn role(mut self, role: &'static Role, choice: &'static str) -> Self {
        self.launch.roles.retain(|(name, _)| *name != role.name);
        self.launch.files.retain(|(name, _)| *name != role.name);
        match role.file(choice) {
            Some(file) => {
                self.launch.roles.push((role.name, choice));
                self.launch.files.push((role.name, file));
            }
            None => {
                let message = format!("{}: nothing plays {} as {choice}", self.launch.label, role.name);
                self.error.get_or_insert(Error::Gpu(message));
            }
        }
        self
    }

    /// A number in `package::config`.
    pub fn config(mut self, name: &'static str, value: impl Into<ConfigValue>) -> Self {
        self.launch.config.push((name, value.into()));
        self
    }

    pub fn params<P: bytemuck::Pod>(mut self, params: &P) -> Self {
        self.launch.params = bytemuck::bytes_of(params).to_vec();
        self
    }

    /// Writes a count of the step into this field of the params at each replay.
    pub fn patch(mut self, field: &str, size: Size) -> Self {
        match self.launch.kernel.params.iter().find(|f| f.name == field) {
            Some(field) => self.launch.patches.push((field.offset, size)),
            None => {
                let message = format!("{}: Params have no field {field}", self.launch.label);
                self.error.get_or_insert(Error::Gpu(message));
            }
        }
        self
    }

    /// Writes the number of rows of `tensor` into this field at each replay, where it is a count of
    /// the step; the params hold it otherwise.
    pub fn patch_rows(self, field: &str, tensor: Tensor) -> Self {
        match tensor.rows.size {
            Some(size) => self.patch(field, size),
            None => self,
        }
    }

    /// The next binding of group 0, read only.
    pub fn read(self, tensor: Tensor) -> Self {
        self.bind(0, tensor, Access::Read)
    }

    /// The next binding of group 0, all of which that later launches read is written.
    pub fn write(self, tensor: Tensor) -> Self {
        self.bind(0, tensor, Access::Write)
    }

    /// The next binding of group 0, changed in place.
    pub fn update(self, tensor: Tensor) -> Self {
        self.bind(0, tensor, Access::Update)
    }

    /// The next binding of `group`.
    pub fn bind(mut self, group: u32, tensor: Tensor, access: Access) -> Self {
        self.launch.args.push(Argument { tensor, access, group });
        self
    }

    /// The chunk of a weight that plays the role `weight` and owns group 1.
    pub fn weight(mut self, name: &str, format: &'static Format, chunk: &WeightChunk) -> Self {
        let planes = chunk.planes.iter().zip(format.planes).map(|(binding, plane)| {
            let words = plane.words(chunk.n_rows, chunk.n_blocks);
            self.graph.external(&format!("{name} {}", plane.name), 1, words, Dtype::U32, binding.clone())
        });
        let planes = planes.collect();
        let (path, text) = format.wgsl;
        self.launch.roles.push(("weight", format.name));
        self.launch.files.push(("weight", Wgsl { path, text }));
        let (n_rows, n_blocks, images) = (chunk.n_rows, chunk.n_blocks, chunk.images());
        self.launch.weight =
            Some(WeightArgument { name: name.to_owned(), format, n_rows, n_blocks, images, planes });
        self
    }

    pub fn grid(mut self, grid: [Extent; 3]) -> Self {
        self.launch.grid = grid;
        self
    }

    /// Terms of the longest sum, which the tolerance depends on.
    pub fn terms(mut self, n_terms: usize) -> Self {
        self.launch.n_terms = n_terms.max(1);
        self
    }

    /// Rounds of all loops of all workgroups, at most. Software drivers may then join launches, if they
    /// are for few tokens: many keep them busy.
    pub fn rounds(mut self, n_tokens: usize, rounds: usize) -> Self {
        if n_tokens <= FEW_TOKENS {
            self.launch.rounds = Some(self.launch.rounds.unwrap_or(0) + rounds);
        }
        self
    }

    /// Adds the launch to the graph.
    pub fn record(mut self) -> Result<()> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let launch = &mut self.launch;
        let size: usize = launch.kernel.params.len() * 4;
        if launch.params.len() != size {
            return Err(Error::Gpu(format!(
                "{}: Params have {size} bytes, {} were given",
                launch.label,
                launch.params.len()
            )));
        }
        launch.label = launch.kernel.name.to_owned();
        // What a role leaves out needs no name.
        for (_, choice) in launch.roles.iter().filter(|(_, choice)| *choice != "nothing") {
            launch.label.push(' ');
            launch.label.push_str(choice);
        }
        self.graph.launches.push(self.launch);
        Ok(())
    }
}
