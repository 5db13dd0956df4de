//! The weights of a model, one after another: found in the file, checked, packed, sent to the device.

use std::sync::Arc;
use std::time::Instant;

use super::arch::{Architecture, QkvLayout};
use super::config::Config;
use super::decoder::{Decoder, Experts, FeedForward, NormPlacement, QkNorm};
use super::load::{LoadOptions, LoadProgress};
use super::names::hub_names;
use super::quantise::target;
use super::relative;
use super::source::{Finder, Part};
use super::tensors::{Cross, Ffn, Layer, Linear, NormWeights, OutputHead, Tensors};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Uploader};
use crate::graph::{Binding, PackedWeight, RowSource};
use crate::tensor::Format;
use crate::weights::Weights;

/// Finds tensors, packs them and hands them to the device.
pub(super) struct Loader<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) finder: Finder<'a>,
    pub(super) architecture: &'static Architecture,
    pub(super) layout: QkvLayout,
    /// Linear layers stand as (n_columns, n_rows) in the file.
    pub(super) transposed: bool,
    pub(super) quantise: Option<&'static Format>,
    /// Bytes of the file, for progress.
    pub(super) done: u64,
    /// Bytes as they are stored.
    pub(super) n_bytes: u64,
    pub(super) progress: &'a mut dyn FnMut(LoadProgress),
    pub(super) to: Destination,
    pub(super) pack_seconds: f64,
}

/// Where packed weights go.
pub(super) enum Destination {
    Device(Uploader),
    /// Only shapes are wanted.
    Nowhere,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        weights: &'a Weights,
        architecture: &'static Architecture,
        config: &Config,
        options: &LoadOptions,
        to: Destination,
        progress: &'a mut dyn FnMut(LoadProgress),
    ) -> Loader<'a> {
        Loader {
            gpu,
            finder: Finder { weights, names: architecture.hub_names, prefix: "" },
            architecture,
            layout: (architecture.qkv)(config),
            transposed: architecture.transposed && config.is_hub(),
            quantise: options.quantise,
            done: 0,
            n_bytes: 0,
            progress,
            to,
            pack_seconds: 0.0,
        }
    }

    /// The weights of a stack of layers; `shared` is the embedding of the other one.
    pub(super) fn tensors(&mut self, d: &mut Decoder, shared: Option<&PackedWeight>) -> Result<Tensors> {
        d.n_vocab = self.finder.required("token_embd.weight")?.shape.n_rows();
        let part = self.finder.part("token_embd.weight", false)?.expect(d.n_vocab, d.embedding_width)?;
        let embedding = match shared {
            Some(embedding) => embedding.clone(),
            None => self.upload("token_embd", &[part])?,
        };
        let positions = match d.learned_positions {
            Some(first) => {
                let part = self.finder.part("position_embd.weight", false)?;
                if part.n_rows() <= first {
                    return Err(Error::tensor(part.name, format!("has no positions from row {first} on")));
                }
                let n = part.n_rows();
                let part = part.pick(first..n).expect(n - first, d.embedding_width)?;
                d.n_context = d.n_context.min(n - first);
                Some(self.upload("position_embd", &[part])?)
            }
            None => None,
        };
        let head = match d.bidirectional {
            true => self.encoder_head(d, &embedding)?,
            false => {
                d.tied |= self.finder.find("output.weight").is_none();
                OutputHead::Next(self.tied_or("output", d.tied, &embedding, d)?)
            }
        };
        let token_types = match self.finder.find("token_types.weight") {
            Some(info) => {
                let n_types = info.shape.n_rows();
                let part =
                    self.finder.part("token_types.weight", false)?.expect(n_types, d.embedding_width)?;
                Some(self.upload("token_types", &[part])?)
            }
            None => None,
        };
        let output_norm = match d.placement {
            NormPlacement::AfterResidual => None,
            _ => Some(self.output_norm(d)?),
        };
        Ok(Tensors {
            embedding,
            positions,
            token_types,
            embedding_norm: self.optional_norm("token_embd_norm", d.embedding_width, d)?,
            head,
            output_norm,
            relative: self.relative(d)?,
            projection: match self.finder.find("token_embd_projection.weight") {
                None if d.embedding_width == d.n_embd => None,
                _ => Some(self.linear("token_embd_projection", d.n_embd, d.embedding_width)?),
            },
            groups: (0..d.n_groups).map(|i| self.layer(d, i)).collect::<Result<_>>()?,
            n_layers: d.n_layers,
        })
    }

    /// The head that the file has tensors for.
    pub(super) fn encoder_head(&mut self, d: &Decoder, embedding: &PackedWeight) -> Result<OutputHead> {
        let n_rows = |this: &Self, name: &str| this.finder.find(name).map(|info| info.shape.n_rows());
        if n_rows(self, "mlm.dense.weight").is_some() {
            let tied = n_rows(self, "mlm.out.weight").is_none();
            return Ok(OutputHead::Masked {
                dense: self.linear("mlm.dense", d.embedding_width, d.n_embd)?,
                norm: self.norm("mlm.norm", d.embedding_width, d)?,
                out: self.tied_or("mlm.out", tied, embedding, d)?,
            });
        }
        if n_rows(self, "qa.out.weight").is_some() {
            return Ok(OutputHead::Span(self.linear("qa.out", 2, d.n_embd)?));
        }
        let Some(n_classes) = n_rows(self, "cls.out.weight") else { return Ok(OutputHead::None) };
        let out = self.linear("cls.out", n_classes, d.n_embd)?;
        Ok(match n_rows(self, "cls.dense.weight") {
            Some(_) => OutputHead::First { dense: self.linear("cls.dense", d.n_embd, d.n_embd)?, out },
            None => OutputHead::Each(out),
        })
    }

    /// A matrix over the vocabulary, which may be the embedding.
    pub(super) fn tied_or(
        &mut self,
        name: &str,
        tied: bool,
        embedding: &PackedWeight,
        d: &Decoder,
    ) -> Result<Linear> {
        match tied {
            true => Ok(Linear { weight: embedding.clone(), bias: self.bias(name, d.n_vocab)? }),
            false => self.linear_as(name, d.n_vocab, d.embedding_width, false),
        }
    }

    pub(super) fn layer(&mut self, d: &Decoder, i: usize) -> Result<Layer> {
        let name = |tensor: &str| format!("blk.{i}.{tensor}");
        let (before, after) = match d.placement {
            NormPlacement::Before => (true, false),
            NormPlacement::BeforeAndAfter => (true, true),
            NormPlacement::After | NormPlacement::AfterResidual => (false, true),
        };
        let norm = |this: &mut Self, tensor: &str, wanted: bool| match wanted {
            true => this.norm(&name(tensor), d.n_embd, d).map(Some),
            false => Ok(None),
        };
        let qk_norm = match d.qk_norm {
            QkNorm::None => None,
            QkNorm::PerHead => Some((d.head_dim, d.head_dim)),
            QkNorm::Whole => Some((d.n_heads * d.head_dim, d.n_kv_heads * d.head_dim)),
        };
        // The first layer of an encoder with a norm after its embedding may have none of its own.
        let attention_norm = match i == 0 && d.bidirectional && before {
            true => self.optional_norm(&name("attn_norm"), d.n_embd, d)?,
            false => norm(self, "attn_norm", before)?,
        };
        // GGUF has another name for it where there are two stacks.
        let attention_output = if self.finder.prefix.is_empty() { "attn_output" } else { "attn_o" };
        let ffn_norm = match d.parallel {
            true => self.optional_norm(&name("ffn_norm"), d.n_embd, d)?,
            false => norm(self, "ffn_norm", before)?,
        };
        Ok(Layer {
            attention_norm,
            qkv: self.qkv(d, i)?,
            qk_norm: match qk_norm {
                Some((q, k)) => {
                    Some((self.norm(&name("attn_q_norm"), q, d)?, self.norm(&name("attn_k_norm"), k, d)?))
                }
                None => None,
            },
            attention_output: self.linear(&name(attention_output), d.n_embd, d.n_heads * d.head_dim)?,
            post_attention_norm: norm(self, "post_attention_norm", after)?,
            cross: match d.start_id {
                Some(_) => Some(Cross {
                    norm: norm(self, "cross_attn_norm", before)?,
                    q: self.linear(&name("cross_attn_q"), d.n_heads * d.head_dim, d.n_embd)?,
                    kv: {
                        let n_kv = d.n_kv_heads * d.head_dim;
                        let parts = [("cross_attn_k", n_kv), ("cross_attn_v", n_kv)];
                        self.below_each_other(d, i, "cross_attn_kv", &parts, false)?
                    },
                    output: self.linear(&name("cross_attn_o"), d.n_embd, d.n_heads * d.head_dim)?,
                    post_norm: norm(self, "post_cross_attn_norm", after)?,
                }),
                None => None,
            },
            ffn_norm,
            ffn: self.ffn(d, i)?,
            post_ffn_norm: norm(self, "post_ffw_norm", after)?,
        })
    }

    /// The rows of q, then k, then v, however the file has them.
    pub(super) fn qkv(&mut self, d: &Decoder, i: usize) -> Result<Vec<(Linear, usize)>> {
        let (n_q, n_kv, head_dim) = (d.n_heads * d.head_dim, d.n_kv_heads * d.head_dim, d.head_dim);
        let n_rows = n_q + 2 * n_kv;
        let fused = format!("blk.{i}.attn_qkv");
        let fused_weight = format!("{fused}.weight");
        if self.finder.find(&fused_weight).is_none() {
            let parts = [("attn_q", n_q), ("attn_k", n_kv), ("attn_v", n_kv)];
            // Norms over all heads need q, k and v apart.
            return self.below_each_other(d, i, "attn_qkv", &parts, d.qk_norm == QkNorm::Whole);
        }
        let order: Vec<usize> = match self.layout {
            QkvLayout::InTurn => (0..n_rows).collect(),
            // Each head's q, k and v stand together.
            QkvLayout::ByHead => (0..3)
                .flat_map(|which| (0..d.n_heads).map(move |head| (head * 3 + which) * head_dim))
                .flat_map(|first| first..first + head_dim)
                .collect(),
        };
        let part = self.finder.part(&fused_weight, self.transposed)?.expect(n_rows, d.n_embd)?;
        let bias = match self.finder.vector(&format!("{fused}.bias"), n_rows)? {
            Some(values) => {
                let values: Vec<f32> = order.iter().map(|&row| values[row]).collect();
                Some(self.floats("bias", &values)?)
            }
            None => None,
        };
        Ok(vec![(Linear { weight: self.upload(&fused, &[part.pick(order)])?, bias }, 0)])
    }

    /// Matrices (tensor, rows) that read the same input, as few as their formats allow, and the first
    /// row of each. `apart`: one for each.
    pub(super) fn below_each_other(
        &mut self,
        d: &Decoder,
        i: usize,
        label: &str,
        parts: &[(&str, usize)],
        apart: bool,
    ) -> Result<Vec<(Linear, usize)>> {
        let n_rows = parts.iter().map(|(_, n)| n).sum();
        let mut bias: Option<Vec<f32>> = None;
        let mut loaded = Vec::new();
        let mut first = 0;
        for &(tensor, n) in parts {
            let name = format!("blk.{i}.{tensor}");
            loaded.push(self.part(&name)?.expect(n, d.n_embd)?);
            if let Some(values) = self.finder.vector(&format!("{name}.bias"), n)? {
                // Where one has a bias, the others have one of zeros.
                let all = bias.get_or_insert_with(|| vec![0.0; n_rows]);
                all[first..first + n].copy_from_slice(&values);
            }
            first += n;
        }
        let mut runs = Vec::new();
        let (mut start, mut first) = (0, 0);
        while start < loaded.len() {
            let same = |part: &&Part| part.format == loaded[start].format;
            let n = if apart { 1 } else { loaded[start..].iter().take_while(same).count() };
            let weight = self.upload(&format!("blk.{i}.{label}"), &loaded[start..start + n])?;
            let rows = first..first + weight.n_rows;
            let bias = bias.as_ref().map(|all| self.floats("bias", &all[rows.clone()])).transpose()?;
            runs.push((Linear { weight, bias }, first));
            first = rows.end;
            start += n;
        }
        Ok(runs)
    }

    pub(super) fn ffn(&mut self, d: &Decoder, i: usize) -> Result<Ffn> {
        let name = |tensor: &str| format!("blk.{i}.{tensor}");
        let gated = match d.feed_forward {
            FeedForward::Experts(experts) => {
                if d.expert_layers.as_ref().is_none_or(|layers| layers[i]) {
                    return self.experts(d, i, experts);
                }
                experts.gated
            }
            FeedForward::Gated(_) => true,
            FeedForward::Plain(_) => false,
        };
        let down = self.linear(&name("ffn_down"), d.n_embd, d.n_ff)?;
        if !gated {
            return Ok(Ffn::Plain { up: self.linear(&name("ffn_up"), d.n_ff, d.n_embd)?, down });
        }
        let (gate, up) = match self.finder.find(&name("ffn_gate.weight")) {
            Some(_) => (self.part(&name("ffn_gate"))?, self.part(&name("ffn_up"))?),
            // Gate and up in one tensor, the gate first.
            None if self.architecture.fused_gate_up => {
                let both = || self.part(&name("ffn_up"))?.expect(2 * d.n_ff, d.n_embd);
                (both()?.pick(0..d.n_ff), both()?.pick(d.n_ff..2 * d.n_ff))
            }
            None => {
                return Err(self.finder.required(&name("ffn_gate.weight")).expect_err("it was not found"));
            }
        };
        let (gate, up) = (gate.expect(d.n_ff, d.n_embd)?, up.expect(d.n_ff, d.n_embd)?);
        let has_bias = self.finder.find(&name("ffn_up.bias")).is_some();
        if gate.format != up.format || !d.n_ff.is_multiple_of(2) || has_bias {
            let gate = Linear {
                weight: self.upload(&name("ffn_gate"), &[gate])?,
                bias: self.bias(&name("ffn_gate"), d.n_ff)?,
            };
            let up = Linear {
                weight: self.upload(&name("ffn_up"), &[up])?,
                bias: self.bias(&name("ffn_up"), d.n_ff)?,
            };
            return Ok(Ffn::GatedApart { gate, up, down });
        }
        let weight = self.upload_interleaved(&name("gate_up"), &[gate], &[up])?;
        Ok(Ffn::Gated { gate_up: Linear { weight, bias: None }, down })
    }

    pub(super) fn experts(&mut self, d: &Decoder, i: usize, experts: Experts) -> Result<Ffn> {
        let Experts { n_experts, gated, .. } = experts;
        let name = |tensor: &str| format!("blk.{i}.{tensor}");
        let router = self.part(&name("ffn_gate_inp"))?.expect(n_experts, d.n_embd)?;
        let router = self.upload(&name("ffn_gate_inp"), &[router])?;
        let parts = |this: &Self, tensor: &str, n_rows: usize, n_columns: usize| -> Result<Vec<Part<'a>>> {
            let stacked = name(&format!("{tensor}_exps"));
            if this.finder.find(&format!("{stacked}.weight")).is_some() {
                return Ok(vec![this.part(&stacked)?.expect(n_experts * n_rows, n_columns)?]);
            }
            let expert = |e: usize| {
                // The hub has each expert apart: `[]` in its name stands for the number.
                let pattern = format!("{}.weight", name(&format!("{tensor}_exp")));
                let pattern = this.finder.own(&pattern);
                let hub = hub_names(this.finder.names, &pattern).pop().unwrap_or(pattern);
                // Of this very name: no prefix comes before it.
                let finder = Finder { prefix: "", ..this.finder };
                finder.part(&hub.replace("[]", &e.to_string()), false)?.expect(n_rows, n_columns)
            };
            (0..n_experts).map(expert).collect()
        };
        let gate = gated.then(|| parts(self, "ffn_gate", d.n_ff, d.n_embd)).transpose()?;
        let up = parts(self, "ffn_up", d.n_ff, d.n_embd)?;
        let down = parts(self, "ffn_down", d.n_embd, d.n_ff)?;
        Ok(Ffn::Experts {
            router,
            up: match gate {
                Some(gate) => self.upload_interleaved(&name("gate_up_exps"), &gate, &up)?,
                None => self.upload(&name("up_exps"), &up)?,
            },
            down: self.upload(&name("down_exps"), &down)?,
        })
    }

    pub(super) fn part(&self, name: &str) -> Result<Part<'a>> {
        self.finder.part(&format!("{name}.weight"), self.transposed)
    }

    pub(super) fn linear(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Linear> {
        self.linear_as(name, n_rows, n_columns, self.transposed)
    }

    pub(super) fn linear_as(
        &mut self,
        name: &str,
        n_rows: usize,
        n_columns: usize,
        transposed: bool,
    ) -> Result<Linear> {
        let part = self.finder.part(&format!("{name}.weight"), transposed)?.expect(n_rows, n_columns)?;
        Ok(Linear { weight: self.upload(name, &[part])?, bias: self.bias(name, n_rows)? })
    }

    pub(super) fn bias(&mut self, name: &str, len: usize) -> Result<Option<Binding>> {
        let values = self.finder.vector(&format!("{name}.bias"), len)?;
        values.map(|values| self.floats(name, &values)).transpose()
    }

    pub(super) fn norm(&mut self, name: &str, len: usize, d: &Decoder) -> Result<NormWeights> {
        self.finder.required(&format!("{name}.weight"))?;
        Ok(self.optional_norm(name, len, d)?.expect("the tensor was found"))
    }

    /// The last norm, its gain scaled.
    pub(super) fn output_norm(&mut self, d: &Decoder) -> Result<NormWeights> {
        let mut weights = self.norm("output_norm", d.n_embd, d)?;
        if d.output_scale != 1.0 {
            let values = self.finder.vector("output_norm.weight", d.n_embd)?.unwrap_or_default();
            let values: Vec<f32> = values.iter().map(|v| (v + d.gain_offset) * d.output_scale).collect();
            weights.gain = self.floats("output_norm", &values)?;
        }
        Ok(weights)
    }

    /// The bias of each head and distance, which the first layer's table has by buckets.
    pub(super) fn relative(&mut self, d: &Decoder) -> Result<Option<(Binding, usize)>> {
        let Some(relative) = d.relative else { return Ok(None) };
        let name = "blk.0.attn_rel_b.weight";
        self.finder.required(name)?;
        let buckets = self.finder.vector(name, relative.n_buckets * d.n_heads)?.unwrap_or_default();
        let table = relative::table(&relative, &buckets, d.n_heads, d.bidirectional);
        let table = match &self.to {
            Destination::Nowhere => Binding::Host(Arc::default()),
            Destination::Device(_) => {
                let table = self.gpu.buffer_with("attn_rel_b", bytemuck::cast_slice(&padded(&table)))?;
                Binding::Device(table.whole())
            }
        };
        Ok(Some((table, relative.max_distance)))
    }

    pub(super) fn optional_norm(
        &mut self,
        name: &str,
        len: usize,
        d: &Decoder,
    ) -> Result<Option<NormWeights>> {
        let Some(mut gain) = self.finder.vector(&format!("{name}.weight"), len)? else { return Ok(None) };
        for value in &mut gain {
            *value += d.gain_offset;
        }
        Ok(Some(NormWeights { gain: self.floats(name, &gain)?, bias: self.bias(name, len)?, len }))
    }

    pub(super) fn floats(&mut self, name: &str, values: &[f32]) -> Result<Binding> {
        let values = padded(values);
        match &self.to {
            Destination::Nowhere => Ok(Binding::outline_of_quads(self.gpu.caps(), values.len())),
            Destination::Device(_) => Binding::quads(self.gpu, name, &values),
        }
    }

    /// Packs parts of the same format and width, one below the other.
    pub(super) fn upload(&mut self, name: &str, parts: &[Part]) -> Result<PackedWeight> {
        if let Some(parts) = self.quantised(name, parts)? {
            return self.upload_as_is(name, &parts);
        }
        self.upload_as_is(name, parts)
    }

    /// The parts in the format that was asked for; `None` where they have it or keep their own.
    pub(super) fn quantised(&self, name: &str, parts: &[Part]) -> Result<Option<Vec<Part<'static>>>> {
        let Some(wanted) = self.quantise else { return Ok(None) };
        let Some(to) = target(name, parts[0].n_columns, wanted) else { return Ok(None) };
        if parts.iter().all(|part| part.format == to) {
            return Ok(None);
        }
        if let Destination::Nowhere = self.to {
            return Ok(Some(parts.iter().map(|part| part.outline(to)).collect()));
        }
        parts.iter().map(|part| part.requantised(to)).collect::<Result<_>>().map(Some)
    }

    pub(super) fn upload_as_is(&mut self, name: &str, parts: &[Part]) -> Result<PackedWeight> {
        let n_rows = parts.iter().map(Part::n_rows).sum();
        let row = |i: usize| row_of(parts, i);
        let (format, n_columns) = (parts[0].format, parts[0].n_columns);
        if let Some(other) = parts.iter().find(|part| part.format != format) {
            return Err(Error::tensor(
                &other.name,
                format!("is {}, but {} beside it is {}", other.format.name, parts[0].name, format.name),
            ));
        }
        let packed = self.pack(name, format, n_rows, n_columns, &row)?;
        self.count(parts);
        Ok(packed)
    }

    /// Packs the rows of two lists of parts in turn: gate, up, gate, up.
    pub(super) fn upload_interleaved(
        &mut self,
        name: &str,
        gate: &[Part],
        up: &[Part],
    ) -> Result<PackedWeight> {
        let (new_gate, new_up) = (self.quantised(name, gate)?, self.quantised(name, up)?);
        let (gate, up) = (new_gate.as_deref().unwrap_or(gate), new_up.as_deref().unwrap_or(up));
        let n_rows: usize = gate.iter().chain(up).map(Part::n_rows).sum();
        let row = |i: usize| row_of(if i.is_multiple_of(2) { gate } else { up }, i / 2);
        let packed = self.pack(name, gate[0].format, n_rows, gate[0].n_columns, &row)?;
        self.count(gate);
        self.count(up);
        Ok(packed)
    }

    pub(super) fn pack(
        &mut self,
        name: &str,
        format: &'static Format,
        n_rows: usize,
        n_columns: usize,
        row: &RowSource,
    ) -> Result<PackedWeight> {
        match &self.to {
            Destination::Nowhere => PackedWeight::outline(self.gpu.caps(), name, format, n_rows, n_columns),
            Destination::Device(uploader) => {
                let start = Instant::now();
                let packed =
                    PackedWeight::upload_with(self.gpu, uploader, name, format, n_rows, n_columns, row)?;
                self.pack_seconds += start.elapsed().as_secs_f64();
                Ok(packed)
            }
        }
    }

    pub(super) fn count(&mut self, parts: &[Part]) {
        for part in parts {
            self.done += part.file_bytes;
            self.n_bytes += part.stored_bytes();
        }
        let total = self.finder.weights.total_bytes();
        (self.progress)(LoadProgress { done: self.done.min(total), total });
    }
}

fn row_of<'p>(parts: &'p [Part], mut i: usize) -> &'p [u8] {
    for part in parts {
        if i < part.n_rows() {
            return part.row(i);
        }
        i -= part.n_rows();
    }
    &[]
}

/// The values and zeros to whole quads, which kernels read.
fn padded(values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    values.resize(values.len().next_multiple_of(4), 0.0);
    values
}
