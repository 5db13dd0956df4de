//! `aquatint run`: answers a prompt.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::common::{self, DeviceArgs, EngineArgs, SamplingArgs, Startup};
use super::guard::{Guard, GuardArgs};
use super::meter;
use crate::engine::{Beam, BeamOptions, Engine, Finish, GenerateOptions, Stats};
use crate::error::{Error, Result};
use crate::store;
use crate::text::{ChatOptions, ChatTemplate, Decode, Encode, Message, Tokenizer};

/// Answers a prompt: in the model's chat format, or as plain text to go on from (--raw). Models with an
/// encoder read the prompt and write the answer.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint run \"Give me three rules for a good night's sleep.\"
  aquatint run gemma3-270m --raw \"Once upon a time\" --max-tokens 100
  aquatint run ./model.gguf - < question.txt
  aquatint run ./flan-t5-small \"translate English to German: Good morning\" --beams 4
  aquatint run \"Tell me of the sea.\" --temperature 0.8 --watermark secret --stop-on phrases.txt
  aquatint run smollm2-135m \"Hello\" --json

JSON: {prompt_ids, ids, text, finish: stop|length|context, reason: text|null, seed,
       timings: {load_seconds, first_token_seconds, prompt_tokens_per_second, tokens_per_second,
       timings: {load_seconds, start: {process, device, map, tokenizer, weights, pack, upload, compile, prepare,
                 prompt, first_token}, first_token_seconds, prompt_tokens_per_second, tokens_per_second,
                 cpu_seconds_per_token, peak_resident_bytes}}")]
pub struct Run {
    /// [MODEL] PROMPT: a model by name or path (default smollm2-135m), and a prompt (- for stdin).
    #[arg(value_name = "[MODEL] PROMPT", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// Goes on from the prompt as it is, without the chat format.
    #[arg(long)]
    raw: bool,
    /// What the model is told before the conversation.
    #[arg(long, conflicts_with = "raw")]
    system: Option<String>,
    /// Tokens to generate at most.
    #[arg(long, short = 'n', default_value_t = 512, value_name = "N")]
    max_tokens: usize,
    /// A text that ends the answer; can be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    #[command(flatten)]
    guard: GuardArgs,
    /// Goes on past the model's end tokens.
    #[arg(long)]
    ignore_end: bool,
    /// Follows this many answers at once and prints the likeliest when all are done.
    #[arg(long, value_name = "N", conflicts_with_all = ["stop", "stop_on", "stop_classifier", "temperature", "watermark"])]
    beams: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Prints what the time to the first token was spent on.
    #[arg(long, short)]
    verbose: bool,
    /// Prints one JSON object when done.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(&self) -> Result<ExitCode> {
        let (model, prompt) = match &self.words[..] {
            [model, prompt] => (model.as_str(), prompt.as_str()),
            [word] if store::MODELS.iter().any(|known| known.name == *word) => {
                return Err(Error::Input(format!(
                    "{word} is a model; give a prompt too, or start a conversation: aquatint chat {word}"
                )));
            }
            words => (store::DEFAULT, words[0].as_str()),
        };
        let prompt = common::text_or_file(Some(prompt), None)?;
        let sampling = self.sampling.sampling()?;
        let mut guard = self.guard.phrases()?;
        let n_slots = self.beams.unwrap_or(1);
        let (mut engine, startup) = common::engine_timed(model, &self.device, &self.engine, n_slots)?;
        let load_seconds = startup.load;
        let tokenizer = engine.model().tokenizer()?.clone();
        let ids = if engine.model().encoder.is_some() {
            tokenizer.encode(prompt.trim_end(), Encode { special: false, bos: None, eos: None })?
        } else if self.raw {
            common::encode(&tokenizer, &prompt, false)?
        } else {
            let mut messages = Vec::new();
            messages.extend(self.system.as_ref().map(|text| Message::new("system", text)));
            messages.push(Message::new("user", prompt.trim_end()));
            chat_ids(&tokenizer, &messages)?
        };
        self.guard.classifier(&mut guard, engine.gpu())?;
        let options = GenerateOptions {
            max_tokens: self.max_tokens,
            sampling,
            stop: self.stop.clone(),
            ignore_end: self.ignore_end,
        };
        let before = startup.process + startup.since.elapsed().as_secs_f64();
        let cpu = meter::cpu_seconds();
        let print = |text: &str| if self.json { Ok(()) } else { common::print(text) };
        let answer = match self.beams {
            Some(n_beams) => self.search(&mut engine, &ids, n_beams, print)?,
            None => guard.generate(&mut engine, &ids, &options, print)?,
        };
        let cpu = meter::cpu_seconds().zip(cpu).map(|(end, start)| end - start);
        engine.gpu().save_pipeline_cache()?;
        let stats = answer.stats;
        let first = stats.first_token.map_or(0.0, |d| d.as_secs_f64());
        let cpu_per_token = cpu.map(|cpu| cpu / stats.n_generated.max(1) as f64);
        if self.json {
            common::print_json(&json!({
                "prompt_ids": ids,
                "ids": answer.ids,
                "text": answer.text,
                "finish": finish_name(answer.finish),
                "reason": answer.reason,
                "seed": sampling.seed,
                "timings": {
                    "load_seconds": load_seconds,
                    "start": start_json(&engine, &startup, before, first),
                    "first_token_seconds": first,
                    "prompt_tokens_per_second": ids.len() as f64 / first.max(1e-9),
                    "tokens_per_second": stats.tokens_per_second(),
                    "cpu_seconds_per_token": cpu_per_token,
                    "peak_resident_bytes": meter::peak_resident_bytes(),
                },
            }))?;
        } else {
            common::print_line("")?;
            if self.verbose {
                print_start(&engine, &startup, before, first);
            }
            eprintln!(
                "[{} tokens, {:.1} tokens/s; prompt of {} tokens; first token after {first:.2} s; loaded in {load_seconds:.2} s{}{}; {}]",
                stats.n_generated,
                stats.tokens_per_second(),
                ids.len(),
                cpu_per_token.map(|s| format!("; {s:.3} CPU s/token")).unwrap_or_default(),
                meter::peak_resident_bytes()
                    .map(|bytes| format!("; {} at most", crate::error::Bytes(bytes)))
                    .unwrap_or_default(),
                match answer.finish {
                    Finish::Stop if answer.reason.is_some() => "stopped".to_owned(),
                    Finish::Stop => "complete".to_owned(),
                    Finish::Length => format!("stopped at --max-tokens {}", self.max_tokens),
                    Finish::Context => "the context is full".to_owned(),
                },
            );
        }
        if let Some(reason) = &answer.reason {
            eprintln!("stopped: {reason}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    /// The likeliest of several answers.
    fn search(
        &self,
        engine: &mut Engine,
        ids: &[u32],
        n_beams: usize,
        mut print: impl FnMut(&str) -> Result<()>,
    ) -> Result<Answer> {
        let start = Instant::now();
        let options = BeamOptions {
            n_beams,
            max_tokens: self.max_tokens,
            ignore_end: self.ignore_end,
            ..BeamOptions::default()
        };
        let best = engine.beam_search(ids, &options)?.into_iter().next();
        let best = best.unwrap_or(Beam { ids: Vec::new(), score: 0.0, finish: Finish::Length });
        let text_start = engine.model().encoder.is_some();
        let decode = Decode { special: false, start: text_start };
        let text = engine.model().tokenizer()?.decode_with(&best.ids, decode);
        print(&text)?;
        let stats = Stats {
            n_prompt: ids.len(),
            n_generated: best.ids.len(),
            first_token: Some(Duration::ZERO),
            rest: start.elapsed(),
        };
        Ok(Answer { text, ids: best.ids, finish: best.finish, stats, reason: None })
    }
}

/// Seconds of each part of the start, from the start of the process to the first token. Packing, uploading
/// and compiling go on at the same time; `prepare` is what was left of compiling when the prompt came.
/// `before`: from the start of the process until the prompt was given to the engine; `first`: from then on.
fn start_json(engine: &Engine, startup: &Startup, before: f64, first: f64) -> Value {
    let times = engine.model().times;
    let (compile, prepare) = engine.prepare_seconds();
    let prepare = prepare.min(first);
    json!({
        "process": startup.process,
        "device": startup.device,
        "map": startup.map,
        "load": startup.load,
        "tokenizer": times.tokenizer,
        "weights": times.weights,
        "pack": times.pack,
        "upload": times.upload,
        "compile": compile,
        "prepare": prepare,
        "prompt": first - prepare,
        "first_token": before + first,
    })
}

fn print_start(engine: &Engine, startup: &Startup, before: f64, first: f64) {
    let parts = start_json(engine, startup, before, first);
    let (n_pipelines, cpu) = engine.gpu().compile_stats();
    let names = [
        ("process", "start of the process".to_owned()),
        ("device", "driver and device".to_owned()),
        ("map", "mapping the file, reading its header".to_owned()),
        ("load", "loading, of which at the same time:".to_owned()),
        ("tokenizer", "  tokenizer".to_owned()),
        ("pack", "  reading and packing weights".to_owned()),
        ("upload", "  uploading them".to_owned()),
        ("compile", format!("  compiling {n_pipelines} pipelines ({cpu:.2} s on all threads)")),
        ("prepare", "recording passes, compiling what is left".to_owned()),
        ("prompt", "the prompt".to_owned()),
        ("first_token", "from the start of the process to the first token".to_owned()),
    ];
    for (name, text) in names {
        eprintln!("{:>8.3} s  {text}", parts[name].as_f64().unwrap_or(0.0));
    }
}

/// The tokens of a conversation in the model's own format, ready for its answer.
pub fn chat_ids(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>> {
    let Some(template) = tokenizer.chat_template() else {
        return Err(Error::Text(
            "the model has no chat template: it goes on with a text rather than answer; use --raw".into(),
        ));
    };
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id));
    let template = ChatTemplate::new(template, piece(tokenizer.bos()), piece(tokenizer.eos()))?;
    let options = ChatOptions { add_generation_prompt: true, ..ChatOptions::default() };
    let text = template.render(messages, &options)?;
    tokenizer.encode(&text, Encode { special: true, bos: Some(false), eos: Some(false) })
}

/// A finished answer.
pub struct Answer {
    pub text: String,
    pub ids: Vec<u32>,
    pub finish: Finish,
    pub stats: crate::engine::Stats,
    /// Why it had to end, where something made it.
    pub reason: Option<String>,
}

/// Generates and gives out each piece as it comes.
pub fn generate(
    engine: &mut Engine,
    ids: &[u32],
    options: &GenerateOptions,
    each: impl FnMut(&str) -> Result<()>,
) -> Result<Answer> {
    Guard::default().generate(engine, ids, options, each)
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Context => "context",
    }
}
