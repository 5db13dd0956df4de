//! The architectures, one file each. A new one is a file and a line in the list.

mod gemma3;
mod llama;

use super::config::Config;
use super::decoder::Decoder;
use crate::error::{Error, Result};

/// How a family of models maps its files to a description.
pub struct Architecture {
    /// Names in GGUF (`general.architecture`) and in `config.json` (`model_type`).
    pub names: &'static [&'static str],
    /// For people.
    pub title: &'static str,
    pub describe: fn(&Config) -> Result<Decoder>,
}

pub static ARCHITECTURES: &[&Architecture] = &[&llama::LLAMA, &gemma3::GEMMA3];

/// The architecture of a file.
pub fn of(config: &Config) -> Result<&'static Architecture> {
    let name = config.architecture()?;
    ARCHITECTURES.iter().copied().find(|a| a.names.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES.iter().flat_map(|a| a.names.iter().copied()).collect();
        let near = nearest(name, &known);
        Error::Unsupported(format!(
            "architecture \"{name}\" is not known; nearest: {near}; known: {}",
            known.join(", ")
        ))
    })
}

/// The known name with the longest common beginning.
fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let common = |other: &str| name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    known.iter().copied().max_by_key(|other| common(other)).unwrap_or("none")
}
