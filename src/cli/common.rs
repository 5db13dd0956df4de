//! What commands share: opening a device, loading a model, options of sampling, output.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::gpu::{AdapterChoice, Gpu, Options};
use crate::graph::Dtype;
use crate::kernels::{SlotSampling, Watermark};
use crate::model::{LoadOptions, Model};
use crate::store;
use crate::tensor::{Format, format};
use crate::text::{Encode, Tokenizer};

/// Which device to use.
#[derive(Args, Debug, Clone)]
pub struct DeviceArgs {
    /// Adapter by number (see `aquatint doctor`) or by a part of its name [default: the best GPU].
    #[arg(long, global = true, value_name = "NUMBER|NAME")]
    pub adapter: Option<String>,
    /// Turns on every check of the driver and of the shaders. Slow.
    #[arg(long)]
    pub validate: bool,
}

impl DeviceArgs {
    /// Opens the device and says which one it is.
    pub fn open(&self) -> Result<Gpu> {
        let adapter = match &self.adapter {
            Some(text) => text.parse().unwrap_or_default(),
            None => AdapterChoice::Best,
        };
        let cache = store::Store::from_env().ok().and_then(|s| Some(s.folder.parent()?.join("cache")));
        let gpu = Gpu::open(&Options { adapter, validate: self.validate, pipeline_cache: cache })?;
        eprintln!("adapter: {}", gpu.adapter());
        Ok(gpu)
    }
}

/// How numbers are stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8,
}

impl Store {
    /// The same for the inputs of matrix products.
    pub fn activations(self) -> Dtype {
        match self {
            Store::Q8 => Dtype::Q8Sums,
            other => other.into(),
        }
    }
}

impl From<Store> for Dtype {
    fn from(store: Store) -> Dtype {
        match store {
            Store::F32 => Dtype::F32,
            Store::F16 => Dtype::F16,
            Store::Q8 => Dtype::Q8,
        }
    }
}

/// Formats that weights can be brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightFormat {
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_k")]
    Q4K,
}

impl WeightFormat {
    pub fn name(self) -> &'static str {
        match self {
            WeightFormat::Q8_0 => "q8_0",
            WeightFormat::Q4_0 => "q4_0",
            WeightFormat::Q4K => "q4_k",
        }
    }

    pub fn format(self) -> &'static Format {
        format::by_name(self.name()).expect("every name here is a format's")
    }
}

/// How a model is loaded.
#[derive(Args, Debug, Clone)]
pub struct LoadArgs {
    /// Stores the matrices in fewer bits.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub quantize: Option<WeightFormat>,
}

impl LoadArgs {
    pub fn options(&self) -> LoadOptions {
        LoadOptions { quantise: self.quantize.map(WeightFormat::format), ..LoadOptions::default() }
    }

    /// For commands that can do without text.
    pub fn options_without_text(&self) -> LoadOptions {
        LoadOptions { tokenizer_optional: true, ..self.options() }
    }
}

/// The sizes of an engine.
#[derive(Args, Debug, Clone)]
pub struct EngineArgs {
    #[command(flatten)]
    pub load: LoadArgs,
    /// Longest conversation in tokens [default: the model's own, at most 4096].
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// How keys and values are stored.
    #[arg(long, value_enum, default_value = "f16")]
    pub kv: Store,
    /// How the inputs of matrix products are stored. q8_0 is faster on software Vulkan, with an error about
    /// ten times that of f16; llama.cpp does so on the CPU. Elsewhere it is f16.
    #[arg(long, value_enum, default_value = "f16")]
    pub activations: Store,
}

impl EngineArgs {
    pub fn options(&self, model_context: usize) -> Result<EngineOptions> {
        let context = self.context.unwrap_or(model_context.min(4096));
        if context > model_context {
            eprintln!(
                "note: the model was made for {model_context} tokens of context, {context} were asked for"
            );
        }
        Ok(EngineOptions {
            context,
            kv: self.kv.into(),
            activations: self.activations.activations(),
            ..EngineOptions::default()
        })
    }
}

/// How the next token is chosen.
#[derive(Args, Debug, Clone)]
pub struct SamplingArgs {
    /// Randomness: 0 always takes the likeliest token, 0.8 varies.
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    pub temperature: f32,
    /// Draws from this many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 40, value_name = "K")]
    pub top_k: u32,
    /// Draws from the likeliest tokens that have this much of the probability.
    #[arg(long, default_value_t = 0.95, value_name = "P")]
    pub top_p: f32,
    /// Leaves out tokens less likely than this share of the likeliest.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pub min_p: f32,
    /// Divides the logits of tokens that came up lately; 1 for none.
    #[arg(long, default_value_t = 1.0, value_name = "R")]
    pub repetition_penalty: f32,
    /// Lowers the logits of tokens that came up lately.
    #[arg(long, default_value_t = 0.0, value_name = "A", allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Lowers the logits of tokens by how often they came up lately.
    #[arg(long, default_value_t = 0.0, value_name = "A", allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Tokens that the penalties look back on, at most 256.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub penalty_last: u32,
    /// Draws the same answer again [default: by the clock].
    #[arg(long)]
    pub seed: Option<u32>,
    /// Leaves a mark in the answer that `audit watermark --key KEY` finds again.
    #[arg(long, value_name = "KEY")]
    pub watermark: Option<String>,
    #[command(flatten)]
    pub mark: MarkArgs,
}

/// How strong a watermark is.
#[derive(Args, Debug, Clone)]
pub struct MarkArgs {
    /// The share of the vocabulary that a watermark prefers; the reader must use the same.
    #[arg(long, default_value_t = 0.25, value_name = "SHARE")]
    pub watermark_gamma: f32,
    /// Added to the logits of what a watermark prefers: more is easier to find and costs more.
    #[arg(long, default_value_t = 2.0, value_name = "D")]
    pub watermark_delta: f32,
}

impl MarkArgs {
    pub fn mark(&self, key: &str) -> Result<Watermark> {
        if key.is_empty() {
            return Err(Error::Input("the key of a watermark is empty; give a secret text".into()));
        }
        let mark = Watermark::new(key, self.watermark_gamma, self.watermark_delta);
        SlotSampling::default().marked(&mark).check()?;
        Ok(mark)
    }
}

impl SamplingArgs {
    pub fn sampling(&self) -> Result<SlotSampling> {
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| now.as_nanos() as u32)
        };
        let sampling = SlotSampling {
            temperature: self.temperature,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            top_k: self.top_k,
            n_recent: self.penalty_last,
            seed: self.seed.unwrap_or_else(clock),
            ..SlotSampling::default()
        };
        sampling.check()?;
        match &self.watermark {
            Some(key) => Ok(sampling.marked(&self.mark.mark(key)?)),
            None => Ok(sampling),
        }
    }
}

/// Finds a model by name or path, fetching it if need be.
pub fn resolve(model: &str) -> Result<PathBuf> {
    let mut bar: Option<(String, ProgressBar)> = None;
    let path = store::resolve(model, &mut |p| {
        if bar.as_ref().is_none_or(|(file, _)| file != p.file) {
            if let Some((_, old)) = bar.take() {
                old.finish_and_clear();
            }
            eprintln!("fetching {} from {}", p.file, p.source);
            bar = Some((p.file.to_owned(), bytes_bar(p.total.unwrap_or(0))));
        }
        if let Some((_, bar)) = &bar {
            bar.set_length(p.total.unwrap_or(0));
            bar.set_position(p.done);
        }
    })?;
    if let Some((_, bar)) = bar {
        bar.finish_and_clear();
        // Terms are told when a model comes, not at every use.
        if let Ok(weights) = crate::weights::Weights::open(&path) {
            eprintln!("{}", store::origin(&path, &weights));
        }
    }
    Ok(path)
}

pub fn bytes_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Loads a model with a progress bar, and says how long it took.
pub fn load(gpu: &Gpu, path: &Path, options: &LoadOptions) -> Result<(Arc<Model>, f64)> {
    let start = Instant::now();
    let bar = bytes_bar(0);
    let model = Model::load(gpu, path, options, &mut |p| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    });
    bar.finish_and_clear();
    Ok((Arc::new(model?), start.elapsed().as_secs_f64()))
}

/// Resolves, opens, loads and makes an engine.
pub fn engine(model: &str, device: &DeviceArgs, args: &EngineArgs) -> Result<(Engine, f64)> {
    engine_for(model, device, args, 1)
}

/// As [`engine`], for `n_slots` sequences together.
pub fn engine_for(
    model: &str,
    device: &DeviceArgs,
    args: &EngineArgs,
    n_slots: usize,
) -> Result<(Engine, f64)> {
    let (engine, startup) = engine_timed(model, device, args, n_slots)?;
    Ok((engine, startup.load))
}

/// Seconds of the parts of a start, up to an engine that is ready.
#[derive(Debug, Clone, Copy)]
pub struct Startup {
    /// When the command began.
    pub since: Instant,
    /// From the start of the process to the command.
    pub process: f64,
    /// Driver, adapter, device.
    pub device: f64,
    /// Mapping the file and reading its header.
    pub map: f64,
    /// Everything from there to an engine that is ready.
    pub load: f64,
}

/// As [`engine_for`], with the parts of the time it took.
pub fn engine_timed(
    model: &str,
    device: &DeviceArgs,
    args: &EngineArgs,
    n_slots: usize,
) -> Result<(Engine, Startup)> {
    let since = Instant::now();
    let process = crate::gpu::process_age().unwrap_or_default().as_secs_f64();
    let path = resolve(model)?;
    let (gpu, device) = timed(|| device.open())?;
    let (weights, map) = timed(|| crate::weights::Weights::open(&path))?;
    let (_, decoder) = crate::model::describe(&weights)?;
    let options = EngineOptions { n_slots, ..args.options(decoder.n_context)? };
    super::inspect::check_fits(&gpu, &weights, &decoder, &options)?;
    let bar = bytes_bar(0);
    let loaded = timed(|| {
        Engine::load(&gpu, &weights, &args.load.options(), options, &mut |p| {
            bar.set_length(p.total);
            bar.set_position(p.done);
        })
    });
    bar.finish_and_clear();
    let (engine, load) = loaded?;
    Ok((engine, Startup { since, process, device, map, load }))
}

/// The result and the seconds it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    Ok((work()?, start.elapsed().as_secs_f64()))
}

/// Encodes a text as the start of a sequence, as the model's file says.
pub fn encode(tokenizer: &Tokenizer, text: &str, special: bool) -> Result<Vec<u32>> {
    tokenizer.encode(text, Encode { special, bos: None, eos: Some(false) })
}

/// A text argument: itself, or what a file or stdin (`-`) holds.
pub fn text_or_file(text: Option<&str>, file: Option<&Path>) -> Result<String> {
    match (text, file) {
        (Some("-"), None) => {
            std::io::read_to_string(std::io::stdin()).map_err(|error| Error::io("stdin", error))
        }
        (Some(text), None) => Ok(text.to_owned()),
        (None, Some(file)) => {
            let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
            String::from_utf8(bytes).map_err(|error| {
                Error::file(
                    file.display(),
                    format!("is not UTF-8 text: byte {}", error.utf8_error().valid_up_to()),
                )
            })
        }
        _ => Err(Error::Input("give either a TEXT (- for stdin) or --file FILE".into())),
    }
}

/// Writes a whole file, or leaves what was there: under another name first, then renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::Input(format!("{}: expected the name of a file to write", path.display())));
    };
    let mut part = name.to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(part);
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        // Nothing half-written stays behind.
        let _ = std::fs::remove_file(&part);
        Error::io(path, error)
    })
}

/// Prints one JSON object on stdout.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print_line(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Prints on stdout; a closed pipe is an error, not a panic.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Error::io("stdout", error))
}

pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Whether a person reads stderr.
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}
