//! Commands, one file each. The only module that prints or exits.
//!
//! Results go to stdout, everything else to stderr. `--json` prints one object.

mod attention;
mod audit;
mod bench;
mod bench_kernels;
mod bow;
mod chat;
mod common;
mod csv;
mod diff;
mod doctor;
mod embed;
mod embed_evaluate;
mod guard;
mod heads;
mod inspect;
mod logits;
mod meter;
mod nearest;
mod plot;
mod quantize;
mod run;
mod score;
mod store;
mod tokenize;
mod tokenizer;
mod tune;
mod vectors;
mod vectors_evaluate;
mod vectors_plot;
mod vectors_train;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;

/// Runs language models on any GPU that Vulkan, Metal or DX12 reaches.
#[derive(Parser)]
#[command(name = "aquatint", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers a prompt.
    Run(run::Run),
    /// Holds a conversation in the terminal.
    Chat(chat::Chat),
    /// Fetches a model.
    Pull(store::Pull),
    /// Lists the models that are here.
    List(store::List),
    /// Deletes a model.
    Rm(store::Rm),
    /// Shows the tokens of a text.
    Tokenize(tokenize::Tokenize),
    /// Makes tokenizers.
    Tokenizer(tokenizer::Tokenizer),
    /// Log-likelihood and perplexity of a text.
    Score(score::Score),
    /// The likeliest next tokens after a text.
    Logits(logits::Logits),
    /// Vectors of sentences and tokens.
    Embed(embed::Embed),
    /// The likeliest tokens for each mask in a text.
    Fill(heads::Fill),
    /// The class of a text.
    Classify(heads::Classify),
    /// The class of each token of a text.
    Label(heads::Label),
    /// The part of a text that answers a question.
    Answer(heads::Answer),
    /// Texts as bags of words.
    Bow(bow::BagOfWords),
    /// Questions to files of word vectors.
    Vectors(vectors::Vectors),
    /// What the heads of a model weigh, as heat maps.
    Attention(attention::Attention),
    /// The tokens or words nearest to a word.
    Nearest(nearest::Nearest),
    /// Measures of bias and provenance.
    Audit(audit::Audit),
    /// Writes a GGUF file in fewer bits.
    Quantize(quantize::Quantize),
    /// Measures tokens per second, or the kernels.
    Bench(bench::Bench),
    /// Chooses the fastest kernels for a model on this device.
    Tune(tune::Tune),
    /// What is in a model file, and what it needs to run.
    Inspect(inspect::Inspect),
    /// Compares each dispatch of a forward pass with its CPU twin.
    Diff(diff::Diff),
    /// Lists adapters and checks every kernel on one of them.
    Doctor(doctor::Doctor),
    /// Compares a model with reference outputs.
    Verify(verify::Verify),
}

/// The program: reads the command line, runs the command, reports its error.
pub fn main() -> ExitCode {
    // Damaged tokenizer files can make the `tokenizers` crate panic; that is caught and reported as an error.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let crates = ["tokenizers-", "fancy-regex-", "spm_precompiled-"];
        let at = info.location().map_or("", |place| place.file());
        if !crates.iter().any(|name| at.contains(name)) {
            report(info);
        }
    }));
    let result = match Cli::parse().command {
        Command::Run(command) => command.run(),
        Command::Chat(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Rm(command) => command.run(),
        Command::Tokenize(command) => command.run(),
        Command::Tokenizer(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Logits(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Fill(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Label(command) => command.run(),
        Command::Answer(command) => command.run(),
        Command::Bow(command) => command.run(),
        Command::Vectors(command) => command.run(),
        Command::Attention(command) => command.run(),
        Command::Nearest(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Quantize(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Tune(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Verify(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        // The reader of our output went away, as `head` does: nothing to report.
        Err(Error::Io { message, .. }) if message.contains("Broken pipe") => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
