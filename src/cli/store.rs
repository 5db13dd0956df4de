//! `aquatint pull`, `list`, `rm`: the models on this machine.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::common;
use crate::error::{Bytes, Result};
use crate::store::{self, Entry};

/// Fetches a model, from the first source that has it. What was interrupted goes on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint pull smollm2-135m
  aquatint pull HuggingFaceTB/SmolLM2-135M-Instruct

JSON: {name, path, bytes, source, licence, pulled_at}")]
pub struct Pull {
    /// Short name (see `aquatint list --known`) or ORG/NAME on the model hub.
    #[arg(default_value = store::DEFAULT)]
    model: String,
    #[arg(long)]
    json: bool,
}

impl Pull {
    pub fn run(&self) -> Result<ExitCode> {
        common::resolve(&self.model)?;
        let entry = store::pull(&self.model, &mut |_| {})?;
        if self.json {
            common::print_json(&to_json(&entry))?;
        } else {
            common::print_line(&format!("{}  {}  {}", entry.name, Bytes(entry.bytes), entry.path.display()))?;
            let licence = if entry.licence.is_empty() { "not stated" } else { &entry.licence };
            common::print_line(&format!("licence {licence}; from {}", entry.source))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists the models that are here.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  aquatint list
  aquatint list --known

JSON: {models: [{name, path, bytes, source, licence, pulled_at}]}; with --known {models: [{name, description, licence, page}]}")]
pub struct List {
    /// The models that have short names, here or not.
    #[arg(long)]
    known: bool,
    #[arg(long)]
    json: bool,
}

impl List {
    pub fn run(&self) -> Result<ExitCode> {
        if self.known {
            if self.json {
                let models: Vec<Value> = store::MODELS
                    .iter()
                    .map(|m| {
                        json!({ "name": m.name, "description": m.description, "licence": m.licence, "page": m.page })
                    })
                    .collect();
                common::print_json(&json!({ "models": models }))?;
            } else {
                for model in store::MODELS {
                    common::print_line(&format!(
                        "{:20} {}\n{:20} licence {}; {}",
                        model.name, model.description, "", model.licence, model.page
                    ))?;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let entries = store::list()?;
        if self.json {
            let models: Vec<Value> = entries.iter().map(to_json).collect();
            common::print_json(&json!({ "models": models }))?;
        } else if entries.is_empty() {
            eprintln!("no models yet; `aquatint pull {}` fetches one", store::DEFAULT);
        } else {
            for e in entries {
                let licence = if e.licence.is_empty() { "licence not stated" } else { &e.licence };
                common::print_line(&format!(
                    "{:20} {:>10}  {}\n{:20} {licence}; from {}",
                    e.name,
                    Bytes(e.bytes).to_string(),
                    e.path.display(),
                    "",
                    e.source,
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Deletes a model from the store.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  aquatint rm gemma3-270m

JSON: {name, path, bytes, source, licence, pulled_at} of what was deleted")]
pub struct Rm {
    model: String,
    #[arg(long)]
    json: bool,
}

impl Rm {
    pub fn run(&self) -> Result<ExitCode> {
        let entry = store::remove(&self.model)?;
        if self.json {
            common::print_json(&to_json(&entry))?;
        } else {
            eprintln!("removed {} ({})", entry.name, Bytes(entry.bytes));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn to_json(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "path": entry.path,
        "bytes": entry.bytes,
        "source": entry.source,
        "licence": entry.licence,
        "pulled_at": entry.pulled_at,
    })
}
