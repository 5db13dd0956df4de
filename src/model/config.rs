//! What a file says of its model: GGUF metadata or the hub's `config.json`, asked with both names.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::weights::{Metadata, Weights};

/// The settings of a model, from either kind of file.
pub enum Config<'a> {
    /// Keys below the architecture's prefix.
    Gguf(&'a Metadata),
    /// `config.json`.
    Hub { file: String, json: &'a Value },
}

/// The name of one setting: in GGUF (below the architecture's prefix) and in `config.json`. Either may
/// be several, divided by `|`, of which the first that is there counts.
#[derive(Debug, Clone, Copy)]
pub struct Key(pub &'static str, pub &'static str);

impl<'a> Config<'a> {
    pub fn of(weights: &'a Weights) -> Config<'a> {
        match weights.config() {
            Some(json) => {
                Config::Hub { file: weights.path().join("config.json").display().to_string(), json }
            }
            None => Config::Gguf(weights.metadata()),
        }
    }

    pub fn is_hub(&self) -> bool {
        matches!(self, Config::Hub { .. })
    }

    /// The architecture's name: `general.architecture` or `model_type`.
    pub fn architecture(&self) -> Result<&str> {
        match self {
            Config::Gguf(metadata) => metadata.architecture(),
            Config::Hub { file, json } => json.get("model_type").and_then(Value::as_str).ok_or_else(|| {
                Error::file(
                    file,
                    "expected a text under \"model_type\", found none; the oldest files lack it: add it, and the \
                     class under \"architectures\", as newer files of the family have them",
                )
            }),
        }
    }

    /// The class that `config.json` names first, if any.
    pub fn class(&self) -> Option<&str> {
        match self {
            Config::Gguf(_) => None,
            Config::Hub { json, .. } => json.get("architectures")?.get(0)?.as_str(),
        }
    }

    /// A number, or `None` where it is absent or null.
    pub fn number(&self, key: Key) -> Result<Option<f64>> {
        match self {
            Config::Gguf(metadata) => {
                for name in key.0.split('|') {
                    let name = metadata.arch_key(name)?;
                    if metadata.get(&name).is_some() {
                        return number_of(metadata, &name).map(Some);
                    }
                }
                Ok(None)
            }
            Config::Hub { file, json } => match present(json, key.1) {
                None => Ok(None),
                Some((name, value)) => value
                    .as_f64()
                    .map(Some)
                    .ok_or_else(|| Error::file(file, format!("{name}: expected a number, found {value}"))),
            },
        }
    }

    pub fn usize_or(&self, key: Key, default: usize) -> Result<usize> {
        let Some(value) = self.number(key)? else { return Ok(default) };
        if !(0.0..=4_294_967_295.0).contains(&value) || value.fract() != 0.0 {
            return Err(self.error(key, &format!("expected a count below 2^32, found {value}")));
        }
        Ok(value as usize)
    }

    pub fn usize(&self, key: Key) -> Result<usize> {
        match self.number(key)? {
            Some(_) => self.usize_or(key, 0),
            None => Err(self.error(key, "is missing")),
        }
    }

    pub fn f64_or(&self, key: Key, default: f64) -> Result<f64> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    /// A flag of `config.json`; GGUF files say such things by the tensors they have.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self {
            Config::Gguf(_) => default,
            Config::Hub { json, .. } => json.get(name).and_then(Value::as_bool).unwrap_or(default),
        }
    }

    /// A text.
    pub fn text(&self, key: Key) -> Option<&str> {
        match self {
            Config::Gguf(metadata) => {
                key.0.split('|').find_map(|name| metadata.str(&metadata.arch_key(name).ok()?).ok())
            }
            Config::Hub { json, .. } => present(json, key.1)?.1.as_str(),
        }
    }

    /// Anything of `config.json`, such as a nested object.
    pub fn json(&self, name: &str) -> Option<&Value> {
        match self {
            Config::Gguf(_) => None,
            Config::Hub { json, .. } => json.get(name).filter(|value| !value.is_null()),
        }
    }

    /// An error that names the setting as this file writes it.
    pub fn error(&self, key: Key, message: &str) -> Error {
        match self {
            Config::Gguf(metadata) => {
                let name = metadata.arch_key(first(key.0)).unwrap_or_else(|_| key.0.to_owned());
                Error::file("metadata", format!("{name}: {message}"))
            }
            Config::Hub { file, .. } => Error::file(file, format!("{}: {message}", first(key.1))),
        }
    }
}

fn first(names: &str) -> &str {
    names.split('|').next().unwrap_or(names)
}

/// The first of the names that the object has, and its value.
fn present<'j, 'n>(json: &'j Value, names: &'n str) -> Option<(&'n str, &'j Value)> {
    names.split('|').find_map(|name| Some((name, json.get(name).filter(|value| !value.is_null())?)))
}

fn number_of(metadata: &Metadata, name: &str) -> Result<f64> {
    if let Ok(value) = metadata.f32(name) {
        return Ok(f64::from(value));
    }
    metadata.u64(name).map(|value| value as f64)
}
