//! `aquatint audit watermark`: whether a text bears the mark of a key, and what the mark costs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::common::{self, DeviceArgs, EngineArgs, SamplingArgs};
use crate::engine::{Detection, Engine, Event, Request, detect};
use crate::error::{Error, Result};
use crate::kernels::{SlotSampling, Watermark as Mark};
use crate::text::Encode;

/// Whether a text was generated with `run --watermark KEY`: how often its tokens are on the lists that the
/// key draws, as a z-score and as the probability that a text without the mark has as many. Above z = 4
/// chance is no explanation. The text is read with the tokens of the model that wrote it.
///
/// With --trial, generates texts with and without the mark and scores both: how well the mark is found,
/// and what it costs in perplexity.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint run \"Tell me of the sea.\" --temperature 0.8 --watermark secret > text.txt
  aquatint audit watermark --key secret --model smollm2-135m text.txt
  aquatint audit watermark --key secret --model smollm2-135m --trial 5 --prompt \"The sea\" -n 200 --temperature 0.8

JSON: {tokens, pairs, listed, expected, z, p}; with --trial {trials: [{seed, marked: {z, p, perplexity, ...},
plain: {...}}], perplexity: {marked, plain}}")]
pub struct Watermark {
    /// A file with the text; - for stdin.
    #[arg(required_unless_present = "trial", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The secret text that the mark was made with.
    #[arg(long)]
    key: String,
    /// The model whose tokens the text has, by name or path.
    #[arg(long)]
    model: String,
    /// Generates this many texts with the mark and as many without.
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(u32).range(1..=1000))]
    trial: Option<u32>,
    /// What the texts of a trial go on from.
    #[arg(long, default_value = "Once upon a time", value_name = "TEXT")]
    prompt: String,
    /// Tokens of each text of a trial.
    #[arg(long, short = 'n', default_value_t = 200, value_name = "N")]
    max_tokens: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long)]
    json: bool,
}

impl Watermark {
    pub fn run(&self) -> Result<ExitCode> {
        let mark = self.sampling.mark.mark(&self.key)?;
        match (self.trial, &self.file) {
            (Some(n), _) => self.trial(&mark, n),
            (None, Some(file)) => self.read(&mark, file),
            (None, None) => Err(Error::Input("give a FILE with the text, or --trial N".into())),
        }
    }

    fn read(&self, mark: &Mark, file: &std::path::Path) -> Result<ExitCode> {
        let text = match file.as_os_str() == "-" {
            true => common::text_or_file(Some("-"), None)?,
            false => common::text_or_file(None, Some(file))?,
        };
        let tokenizer = crate::model::open_tokenizer(&common::resolve(&self.model)?)?;
        let plain = Encode { special: false, bos: Some(false), eos: Some(false) };
        let ids = tokenizer.encode(text.trim_end_matches('\n'), plain)?;
        let found = detect(&ids, mark);
        if found.n_pairs < 16 {
            return Err(Error::Input(format!(
                "{}: {} different pairs of tokens tell nothing; give a text of at least 16, better 100",
                file.display(),
                found.n_pairs
            )));
        }
        if self.json {
            let mut object = json!({ "tokens": ids.len() });
            extend(&mut object, &found);
            common::print_json(&object)?;
        } else {
            common::print_line(&format!("{} tokens, {}", ids.len(), line(&found)))?;
            eprintln!("{}", verdict(&found));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn trial(&self, mark: &Mark, n: u32) -> Result<ExitCode> {
        let plain = SlotSampling { watermark_delta: 0.0, ..self.sampling.sampling()? };
        if plain.temperature == 0.0 && n > 1 {
            return Err(Error::Input("several trials need --temperature above 0 to differ".into()));
        }
        let (mut engine, prompt) = self.engine_for_trial(n)?;
        let mut sums = [(0.0, 0usize); 2];
        let mut trials = Vec::new();
        let samplings: Vec<SlotSampling> = (0..n)
            .map(|i| plain.seed.wrapping_add(i))
            .flat_map(|seed| [SlotSampling { seed, ..plain.marked(mark) }, SlotSampling { seed, ..plain }])
            .collect();
        let texts = self.texts(&mut engine, &prompt, &samplings)?;
        for (texts, samplings) in texts.chunks(2).zip(samplings.chunks(2)) {
            let mut trial = json!({ "seed": samplings[0].seed });
            for (which, ids) in texts.iter().enumerate() {
                let nll = likelihood(&mut engine, &prompt, ids)?;
                let (found, n) = (detect(ids, mark), ids.len().max(1));
                sums[which] = (sums[which].0 + nll, sums[which].1 + n);
                let perplexity = (nll / n as f64).exp();
                let name = ["marked", "plain"][which];
                if !self.json {
                    common::print_line(&format!(
                        "seed {:<10} {name:<6} perplexity {perplexity:6.2}  {}",
                        samplings[0].seed,
                        line(&found)
                    ))?;
                }
                let mut object = json!({ "tokens": ids.len(), "perplexity": perplexity });
                extend(&mut object, &found);
                trial[name] = object;
            }
            trials.push(trial);
        }
        let [marked, unmarked] = sums.map(|(nll, n)| (nll / n.max(1) as f64).exp());
        if self.json {
            common::print_json(
                &json!({ "trials": trials, "perplexity": { "marked": marked, "plain": unmarked } }),
            )?;
        } else {
            let cost = 100.0 * (marked / unmarked - 1.0);
            common::print_line(&format!(
                "perplexity {marked:.2} with the mark, {unmarked:.2} without: {cost:+.1} %"
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// An engine in which several texts run together, and the prompt's tokens.
    fn engine_for_trial(&self, n: u32) -> Result<(Engine, Vec<u32>)> {
        // A text has no more tokens than bytes, and a few that a model puts before it.
        let context = self.prompt.len() + self.max_tokens + 8;
        let args = EngineArgs { context: self.engine.context.or(Some(context)), ..self.engine.clone() };
        let n_slots = (2 * n as usize).clamp(1, 8);
        let (engine, _) = common::engine_for(&self.model, &self.device, &args, n_slots)?;
        let prompt = common::encode(engine.model().tokenizer()?, &self.prompt, false)?;
        Ok((engine, prompt))
    }

    /// The tokens of a text for each sampling.
    fn texts(
        &self,
        engine: &mut Engine,
        prompt: &[u32],
        samplings: &[SlotSampling],
    ) -> Result<Vec<Vec<u32>>> {
        let bar = ProgressBar::new((samplings.len() * self.max_tokens) as u64);
        let mut places = HashMap::new();
        for (i, &sampling) in samplings.iter().enumerate() {
            let request = Request {
                prompt: prompt.to_vec(),
                max_tokens: self.max_tokens,
                sampling,
                // Texts of equal length are compared, so none ends early.
                end_ids: Vec::new(),
            };
            places.insert(engine.submit(request)?, i);
        }
        let mut texts = vec![Vec::new(); samplings.len()];
        while engine.busy() {
            for event in engine.step(Duration::MAX)? {
                if let Event::Token { sequence, id } = event {
                    texts[places[&sequence]].push(id);
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        Ok(texts)
    }
}

/// The negative log-likelihood of a text after its prompt, by the model as it is.
fn likelihood(engine: &mut Engine, prompt: &[u32], ids: &[u32]) -> Result<f64> {
    let all: Vec<u32> = prompt.iter().chain(ids).copied().collect();
    let nll = engine.nll(&all)?;
    Ok(nll[prompt.len() - 1..].iter().map(|&v| f64::from(v)).sum())
}

fn line(found: &Detection) -> String {
    format!(
        "{} different pairs, {} listed, {:.1} by chance: z {:.2}, p {:.2e}",
        found.n_pairs, found.n_listed, found.expected, found.z, found.p
    )
}

fn verdict(found: &Detection) -> &'static str {
    match found.z {
        z if z > 4.0 => "this key's mark is in the text",
        z if z > 2.0 => "undecided: a longer text would tell",
        _ => "no sign of this key's mark",
    }
}

fn extend(object: &mut Value, found: &Detection) {
    object["pairs"] = json!(found.n_pairs);
    object["listed"] = json!(found.n_listed);
    object["expected"] = json!(found.expected);
    object["z"] = json!(found.z);
    object["p"] = json!(found.p);
}
