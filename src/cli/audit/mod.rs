//! `aquatint audit`: measures of bias and provenance, one file each.

mod bias;
mod overlap;
mod watermark;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::Result;

/// Measures of bias in a model, and of where a text comes from.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How often a model finds the more stereotyping sentence of a pair likelier.
    Bias(bias::Bias),
    /// The longest runs of words of a text that stand word for word in other texts.
    Overlap(overlap::Overlap),
    /// Whether a text was generated with a key's watermark.
    Watermark(watermark::Watermark),
}

impl Audit {
    pub fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Bias(command) => command.run(),
            Command::Overlap(command) => command.run(),
            Command::Watermark(command) => command.run(),
        }
    }
}
