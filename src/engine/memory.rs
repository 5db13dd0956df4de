//! The buffers of an engine: the KV pool and what each step brings.

use super::EngineOptions;
use super::kv_pool::KvPool;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Size, Sizes, Slice};
use crate::graph::{Binding, Dtype, Graph, Rows};
use crate::kernels::{self, Batch, Kv, PAGE, RopeTable, Sampler};
use crate::model::{Decoder, Step};

/// The arrays that change from step to step lie in one buffer, written at once.
const ARRAYS: usize = 9;

/// Everything an engine keeps on the device besides weights and scratch memory.
pub(super) struct Memory {
    pub step: Buffer,
    /// Bytes from one array to the next in `step`.
    stride: u64,
    pub pages: Buffer,
    pub last_token: Buffer,
    pub settings: Buffer,
    pub recent: Buffer,
    pub kv: KvPool,
    rope: [Option<Binding>; 2],
    pub max_pages: usize,
    context: usize,
}

/// One step's arrays.
#[derive(Debug, Default, Clone)]
pub(super) struct StepData {
    pub ids: Vec<u32>,
    pub positions: Vec<u32>,
    pub slots: Vec<u32>,
    pub outputs: Vec<u32>,
    pub output_slots: Vec<u32>,
    pub output_positions: Vec<u32>,
    pub targets: Vec<u32>,
    pub limits: Vec<u32>,
    pub token_types: Vec<u32>,
}

impl StepData {
    /// Tokens of slot 0 from position `first` on, with outputs from position `wanted` on.
    /// `targets[p]` is the token whose likelihood is asked after position p.
    pub fn of(ids: &[u32], first: usize, wanted: usize, targets: &[u32]) -> StepData {
        let mut data = StepData::default();
        for (i, &id) in ids.iter().enumerate() {
            let position = first + i;
            data.ids.push(id);
            data.positions.push(position as u32);
            data.slots.push(0);
            if position >= wanted {
                data.outputs.push(i as u32);
                data.output_slots.push(0);
                data.output_positions.push(position as u32 + 1);
                data.targets.push(targets.get(position).copied().unwrap_or(0));
            }
        }
        data
    }

    /// The counts of this step; `n_context`: positions of the longest sequence.
    pub fn sizes(&self, n_context: usize) -> Sizes {
        Sizes {
            n_tokens: self.ids.len() as u32,
            n_outputs: self.outputs.len() as u32,
            n_context: n_context as u32,
        }
    }
}

/// Bytes of the KV pool.
pub fn kv_bytes(d: &Decoder, options: &EngineOptions) -> u64 {
    let n_pages = options.n_slots * options.context.div_ceil(PAGE);
    2 * 4 * (d.n_layers * Kv::words(n_pages, d.n_kv_heads, d.head_dim, options.kv)) as u64
}

impl Memory {
    /// For steps of `n_tokens_max` tokens, with `n_pages` pages of keys and values.
    pub fn new(
        gpu: &Gpu,
        d: &Decoder,
        options: &EngineOptions,
        n_tokens_max: usize,
        n_pages: usize,
    ) -> Result<Memory> {
        let stride = (4 * n_tokens_max as u64).next_multiple_of(256);
        let max_pages = options.context.div_ceil(PAGE);
        let table = |dim: usize, base: f64, scaling: &kernels::Scaling| -> Result<Binding> {
            let (freq, factor) = kernels::inv_freq(dim, base, scaling);
            Binding::quads(gpu, "rope", &kernels::rope_table(&freq, factor, options.context))
        };
        // Layers with a window keep their unscaled rotations.
        let rope = d.rope.as_ref();
        let global = rope.map(|rope| table(rope.dim, rope.base, &rope.scaling)).transpose()?;
        let local = rope.and_then(|rope| Some((rope.dim, rope.local_base?)));
        let local = local.map(|(dim, base)| table(dim, base, &kernels::Scaling::None)).transpose()?;
        Ok(Memory {
            step: gpu.buffer("step", ARRAYS as u64 * stride)?,
            stride,
            pages: gpu.buffer("pages", 4 * (options.n_slots * max_pages) as u64)?,
            last_token: gpu.buffer("last token", 4 * options.n_slots as u64)?,
            settings: gpu
                .buffer("sampling", (options.n_slots * size_of::<kernels::SlotSampling>()) as u64)?,
            recent: gpu.buffer("recent", (4 * options.n_slots * (kernels::RECENT_MAX + 1)) as u64)?,
            kv: KvPool::new(gpu, d, n_pages, options.kv)?,
            rope: [global, local],
            max_pages,
            context: options.context,
        })
    }

    /// The step's tensors in `g`, for at most `n_tokens` tokens and `n_outputs` outputs.
    pub fn step(&self, g: &mut Graph, d: &Decoder, n_tokens: usize, n_outputs: usize) -> Step {
        let array = |g: &mut Graph, name: &str, i: u64, n: usize| {
            let len = (4 * n as u64).next_multiple_of(16);
            let slice = Slice { buffer: self.step.clone(), offset: i * self.stride, len };
            g.external(name, 1, n, Dtype::U32, Binding::Device(slice))
        };
        let whole = |g: &mut Graph, buffer: &Buffer| {
            let n = buffer.len() as usize / 4;
            g.external(buffer.label(), 1, n, Dtype::U32, Binding::Device(buffer.whole()))
        };
        let last_token = whole(g, &self.last_token);
        let limits = array(g, "limits", 7, n_tokens);
        let batch = Batch {
            ids: array(g, "ids", 0, n_tokens),
            positions: array(g, "positions", 1, n_tokens),
            slots: array(g, "slots", 2, n_tokens),
            pages: whole(g, &self.pages),
            last_token,
            outputs: array(g, "outputs", 3, n_outputs),
            // A decoder's token sees none after its own position.
            limits: if d.bidirectional { limits } else { array(g, "positions", 1, n_tokens) },
            max_pages: self.max_pages,
            rows: Rows::up_to(n_tokens, Size::Tokens),
        };
        let kv = self.kv.tensors(g);
        let rope = |g: &mut Graph, i: usize| {
            let rope_dim = d.rope.as_ref().map_or(0, |rope| rope.dim);
            let n_rows = 256 + self.context.div_ceil(256);
            self.rope[i].as_ref().map(|turns| RopeTable {
                turns: g.external("rope", n_rows, rope_dim, Dtype::F32, turns.clone()),
                rope_dim,
            })
        };
        let (global, local) = (rope(g, 0), rope(g, 1));
        let sampler =
            Sampler { settings: whole(g, &self.settings), recent: whole(g, &self.recent), last_token };
        Step {
            batch,
            kv,
            rope: global,
            rope_local: local,
            sampler,
            output_slots: array(g, "output slots", 4, n_outputs),
            output_positions: array(g, "output positions", 5, n_outputs),
            targets: array(g, "targets", 6, n_outputs),
            limits,
            cross: None,
            token_types: array(g, "token types", 8, n_tokens),
            n_tokens,
            n_outputs,
            max_context: self.context,
        }
    }

    /// Writes a step's arrays.
    pub fn write(&self, gpu: &Gpu, data: &StepData) {
        let arrays = [
            &data.ids,
            &data.positions,
            &data.slots,
            &data.outputs,
            &data.output_slots,
            &data.output_positions,
            &data.targets,
            &data.limits,
            &data.token_types,
        ];
        let words = self.stride as usize / 4;
        let mut all = vec![0u32; words * (ARRAYS - 1)];
        all.extend(arrays[ARRAYS - 1]);
        for (i, array) in arrays.iter().enumerate().take(ARRAYS - 1) {
            all[i * words..i * words + array.len()].copy_from_slice(array);
        }
        gpu.write(&self.step, 0, bytemuck::cast_slice(&all));
    }
}
