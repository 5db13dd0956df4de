//! `aquatint attention`: what the heads of a model weigh, as a page of heat maps.

mod page;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs};
use super::embed;
use crate::engine::{AttentionMap, AttentionPart, Encoder, Engine, EngineOptions, GenerateOptions};
use crate::error::{Error, Result};
use crate::graph::Dtype;
use crate::model::Model;
use crate::text::{Encode, Tokenizer};
use page::Part;

/// What each head of each layer weighs over a text, as heat maps in a page of its own: decoders, encoders,
/// and encoder-decoders with the attention between the two. The weights are recorded only here, in f32.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint attention smollm2-135m \"The cat sat on the mat because it was tired.\" -o attention.html
  aquatint attention all-minilm-l6-v2 \"The cat sat on the mat.\" -o attention.html --layers 1,2
  aquatint attention ./t5-small \"translate English to German: Good morning\" --target \"Guten Morgen\" -o a.html
  aquatint attention smollm2-135m \"The cat\" --json

JSON: {model, parts: [{name, queries: [token], keys: [token], layers: [{layer, heads: [[[weight]]]}]}]}; heads
are matrices with a row for each query")]
pub struct Attention {
    /// Model by name or path.
    model: String,
    /// The text; - for stdin.
    text: Option<String>,
    /// Reads the text from a file.
    #[arg(long, conflicts_with = "text")]
    file: Option<PathBuf>,
    /// What an encoder-decoder model writes [default: its own answer].
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// Tokens of that answer at most.
    #[arg(long, short = 'n', default_value_t = 40, value_name = "N")]
    max_tokens: usize,
    /// Only these layers, counted from 1.
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    layers: Vec<usize>,
    /// The page, .html.
    #[arg(long, short = 'o', value_name = "FILE", required_unless_present = "json")]
    output: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

/// Weights of a page at most: at three bytes of text each a browser still opens it at once.
const WEIGHTS_MAX: usize = 16 << 20;

/// What looked at what, as the page names it.
fn name(part: AttentionPart) -> &'static str {
    match part {
        AttentionPart::Decoder => "decoder",
        AttentionPart::Encoder => "encoder",
        AttentionPart::Cross => "decoder to encoder",
    }
}

impl Attention {
    pub fn run(&self) -> Result<ExitCode> {
        let text = common::text_or_file(self.text.as_deref(), self.file.as_deref())?;
        if text.trim().is_empty() {
            return Err(Error::Input("the text is empty; attention needs tokens to look at".into()));
        }
        let path = common::resolve(&self.model)?;
        let gpu = self.device.open()?;
        let (model, _) = common::load(&gpu, &path, &self.engine.load.options())?;
        let tokenizer = model.tokenizer()?.clone();
        let (maps, sources, tokens) = self.maps(model, &tokenizer, &text)?;
        let maps = self.chosen(maps)?;
        let n_weights: usize = maps.iter().map(|map| map.weights.len()).sum();
        let mut parts: Vec<Part> = Vec::new();
        for map in maps {
            match parts.iter_mut().find(|part| part.maps[0].part == map.part) {
                Some(part) => part.maps.push(map),
                None => {
                    let (queries, keys) = match map.part {
                        AttentionPart::Decoder => (&tokens, &tokens),
                        AttentionPart::Encoder => (&sources, &sources),
                        AttentionPart::Cross => (&tokens, &sources),
                    };
                    let (queries, keys) = (queries.clone(), keys.clone());
                    parts.push(Part { name: name(map.part), queries, keys, maps: vec![map] });
                }
            }
        }
        if self.json {
            let parts: Vec<Value> = parts.iter().map(part_json).collect();
            common::print_json(&json!({ "model": self.model, "parts": parts }))?;
        }
        let Some(output) = &self.output else { return Ok(ExitCode::SUCCESS) };
        if n_weights > WEIGHTS_MAX {
            return Err(Error::Input(format!(
                "{n_weights} weights are too many for a page, which holds {WEIGHTS_MAX}; \
                 choose layers with --layers, or shorten the text"
            )));
        }
        let title = format!("Attention of {}", self.model.rsplit('/').next().unwrap_or(&self.model));
        common::write_whole(output, page::page(&title, &text, &parts).as_bytes())?;
        eprintln!("wrote {}", output.display());
        Ok(ExitCode::SUCCESS)
    }

    /// The maps, the tokens that an encoder reads, and those that a decoder reads or writes.
    fn maps(
        &self,
        model: Arc<Model>,
        tokenizer: &Tokenizer,
        text: &str,
    ) -> Result<(Vec<AttentionMap>, Vec<String>, Vec<String>)> {
        if model.decoder.bidirectional {
            let input = embed::input(tokenizer, text, usize::MAX)?;
            AttentionMap::check_size(&model.decoder, input.ids.len())?;
            let maps = Encoder::new(model, true)?.attention(&input)?;
            return Ok((maps, labels(tokenizer, &input.ids), Vec::new()));
        }
        let Some(start) = model.decoder.start_id.filter(|_| model.encoder.is_some()) else {
            let ids = common::encode(tokenizer, text, false)?;
            AttentionMap::check_size(&model.decoder, ids.len())?;
            let mut engine = engine(model, ids.len())?;
            let maps = engine.attention(None, &ids)?;
            return Ok((maps, Vec::new(), labels(tokenizer, &ids)));
        };
        let source = tokenizer.encode(text.trim_end(), Encode { special: false, bos: None, eos: None })?;
        AttentionMap::check_size(&model.decoder, source.len())?;
        let plain = Encode { special: false, bos: Some(false), eos: Some(false) };
        let target = match &self.target {
            Some(target) => tokenizer.encode(target, plain)?,
            None => {
                let mut engine = engine(model.clone(), source.len().max(self.max_tokens + 1))?;
                let options = GenerateOptions { max_tokens: self.max_tokens, ..GenerateOptions::default() };
                engine.generate_ids(&source, &options)?
            }
        };
        let ids: Vec<u32> = [start].into_iter().chain(target).collect();
        let mut engine = engine(model, source.len().max(ids.len()))?;
        let maps = engine.attention(Some(&source), &ids)?;
        Ok((maps, labels(tokenizer, &source), labels(tokenizer, &ids)))
    }

    fn chosen(&self, maps: Vec<AttentionMap>) -> Result<Vec<AttentionMap>> {
        let n_layers = maps.iter().map(|map| map.layer + 1).max().unwrap_or(0);
        if let Some(wrong) = self.layers.iter().find(|&&layer| layer == 0 || layer > n_layers) {
            return Err(Error::Input(format!("--layers: expected 1 to {n_layers}, found {wrong}")));
        }
        let wanted = |map: &AttentionMap| self.layers.is_empty() || self.layers.contains(&(map.layer + 1));
        Ok(maps.into_iter().filter(wanted).collect())
    }
}

/// An engine for one text in f32.
fn engine(model: Arc<Model>, context: usize) -> Result<Engine> {
    let options =
        EngineOptions { context, kv: Dtype::F32, activations: Dtype::F32, ..EngineOptions::default() };
    Engine::new(model, options)
}

/// Tokens for people: a space before a word as a dot, line ends as arrows, parts of characters in numbers.
fn labels(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let label = |&id: &u32| match String::from_utf8(tokenizer.piece_bytes(id)) {
        Ok(text) if text.is_empty() => tokenizer.piece(id).unwrap_or("").to_owned(),
        Ok(text) => text.replace('\n', "⏎").replace('\t', "⇥").replace(' ', "·"),
        Err(error) => error.as_bytes().iter().map(|byte| format!("<{byte:02x}>")).collect(),
    };
    ids.iter().map(label).collect()
}

fn part_json(part: &Part) -> Value {
    let layer = |map: &AttentionMap| {
        let heads = map.weights.chunks(map.n_tokens * map.n_positions);
        let heads: Vec<Vec<&[f32]>> = heads.map(|head| head.chunks(map.n_positions).collect()).collect();
        json!({ "layer": map.layer + 1, "heads": heads })
    };
    let layers: Vec<Value> = part.maps.iter().map(layer).collect();
    json!({ "name": part.name, "queries": part.queries, "keys": part.keys, "layers": layers })
}
