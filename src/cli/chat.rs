//! `aquatint chat`: a conversation in the terminal.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::common::{self, DeviceArgs, EngineArgs, SamplingArgs};
use super::run::{chat_ids, generate};
use crate::engine::{Finish, GenerateOptions};
use crate::error::{Error, Result};
use crate::store;
use crate::text::Message;

/// Holds a conversation. Each line is a message; the model remembers what was said.
///
/// /clear forgets the conversation, /system TEXT sets what the model is told first, /bye ends.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint chat
  aquatint chat gemma3-270m --temperature 0.7 --system \"Answer in one sentence.\"
  printf 'Hi!\\nWhat did I say?\\n' | aquatint chat --json

JSON: {messages: [{role, content}]}, printed at the end")]
pub struct Chat {
    /// Model by name or path.
    #[arg(default_value = store::DEFAULT)]
    model: String,
    /// What the model is told before the conversation.
    #[arg(long)]
    system: Option<String>,
    /// Tokens of an answer at most.
    #[arg(long, short = 'n', default_value_t = 1024, value_name = "N")]
    max_tokens: usize,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Prints the conversation as one JSON object at the end.
    #[arg(long)]
    json: bool,
}

impl Chat {
    pub fn run(&self) -> Result<ExitCode> {
        let mut sampling = self.sampling.sampling()?;
        let (mut engine, _) = common::engine(&self.model, &self.device, &self.engine)?;
        let tokenizer = engine.model().tokenizer()?.clone();
        let start =
            || -> Vec<Message> { self.system.iter().map(|text| Message::new("system", text)).collect() };
        let mut messages = start();
        let is_person = std::io::stdin().is_terminal();
        let mut lines = std::io::stdin().lock().lines();
        loop {
            if is_person && common::is_interactive() {
                eprint!("> ");
            }
            let Some(line) = lines.next() else { break };
            let line = line.map_err(|error| Error::io("stdin", error))?;
            match line.trim() {
                "" => continue,
                "/bye" | "/exit" | "/quit" => break,
                "/clear" => {
                    messages = start();
                    continue;
                }
                text if text.starts_with("/system ") => {
                    messages.retain(|message| message.role != "system");
                    messages.insert(0, Message::new("system", &text["/system ".len()..]));
                    continue;
                }
                text if text.starts_with('/') => {
                    eprintln!("there are /clear, /system TEXT and /bye");
                    continue;
                }
                text => messages.push(Message::new("user", text)),
            }
            let mut ids = chat_ids(&tokenizer, &messages)?;
            // The oldest exchange goes when there is no more room; its pages go with it.
            while ids.len() + self.max_tokens.min(engine.options().context / 2) > engine.options().context {
                let first = usize::from(messages[0].role == "system");
                if messages.len() < first + 3 {
                    return Err(Error::Input(format!(
                        "the message of {} tokens does not fit the context of {}; use a larger --context",
                        ids.len(),
                        engine.options().context
                    )));
                }
                messages.drain(first..first + 2);
                ids = chat_ids(&tokenizer, &messages)?;
            }
            let options =
                GenerateOptions { max_tokens: self.max_tokens, sampling, ..GenerateOptions::default() };
            let answer =
                generate(
                    &mut engine,
                    &ids,
                    &options,
                    |text| if self.json { Ok(()) } else { common::print(text) },
                )?;
            if !self.json {
                common::print_line("")?;
            }
            if answer.finish == Finish::Length {
                eprintln!("[stopped at --max-tokens {}]", self.max_tokens);
            }
            messages.push(Message::new("assistant", answer.text));
            sampling.seed = sampling.seed.wrapping_add(1);
        }
        engine.gpu().save_pipeline_cache()?;
        if self.json {
            common::print_json(&json!({ "messages": messages }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
