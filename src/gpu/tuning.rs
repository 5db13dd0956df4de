//! What was learnt of kernels on one device: which variant is fastest, and which gave wrong results.
//!
//! A tuning belongs to an adapter, its driver and one set of shader texts, and lies in a file beside the
//! pipeline cache. A file that is broken, or that belongs to another of these, counts as none. Keys and
//! variants are texts that the kernels write and read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::adapter::AdapterSummary;
use super::device::{Gpu, lock};
use crate::error::{Error, Result};

/// A file of a hundred models is far below.
const BYTES_MAX: u64 = 4 << 20;

/// The variant to take for one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub variant: String,
    /// Seconds that it took, and those of the variant that the tables would take.
    pub seconds: f64,
    pub table_seconds: f64,
}

/// Choices and failures of one device and one set of shaders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    adapter: String,
    /// A hash of all shader texts.
    shaders: String,
    pub choices: BTreeMap<String, Choice>,
    /// Variants that gave wrong results, and what was wrong.
    pub failed: BTreeMap<String, String>,
}

impl Tuning {
    /// Nothing learnt yet.
    pub fn new(adapter: &AdapterSummary, shaders: u64) -> Tuning {
        Tuning {
            adapter: format!("{adapter} {:04x}:{:04x}", adapter.vendor, adapter.device),
            shaders: format!("{shaders:016x}"),
            ..Tuning::default()
        }
    }

    /// What the file holds for this adapter and these shaders; nothing where it holds anything else.
    pub fn read(path: &Path, adapter: &AdapterSummary, shaders: u64) -> Tuning {
        let own = Tuning::new(adapter, shaders);
        let short = std::fs::metadata(path).is_ok_and(|file| file.len() <= BYTES_MAX);
        let text = if short { std::fs::read_to_string(path).ok() } else { None };
        let found: Option<Tuning> = text.and_then(|text| serde_json::from_str(&text).ok());
        found.filter(|found| (&found.adapter, &found.shaders) == (&own.adapter, &own.shaders)).unwrap_or(own)
    }

    /// Replaces the file as a whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().expect("the file lies in a folder");
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let partial = path.with_extension(format!("part{}", std::process::id()));
        let text = serde_json::to_string_pretty(self).expect("plain data");
        std::fs::write(&partial, text).map_err(|error| Error::io(&partial, error))?;
        std::fs::rename(&partial, path).map_err(|error| Error::io(path, error))
    }

    /// The variant that was fastest for `key`.
    pub fn choice(&self, key: &str) -> Option<&str> {
        self.choices.get(key).map(|choice| choice.variant.as_str())
    }

    pub fn has_failed(&self, variant: &str) -> bool {
        self.failed.contains_key(variant)
    }
}

impl Gpu {
    /// What is known of kernels on this device. Empty until [`Gpu::set_tuning`].
    pub fn tuning(&self) -> Arc<Tuning> {
        lock(self.tuning_slot()).clone().unwrap_or_default()
    }

    /// Whether [`Gpu::set_tuning`] was called.
    pub fn has_tuning(&self) -> bool {
        lock(self.tuning_slot()).is_some()
    }

    /// Graphs recorded from now on take these choices.
    pub fn set_tuning(&self, tuning: Tuning) {
        *lock(self.tuning_slot()) = Some(Arc::new(tuning));
    }

    /// Where this device's tuning is kept; `None` where nothing is.
    pub fn tuning_path(&self) -> Option<PathBuf> {
        let adapter = self.adapter();
        let name = format!(
            "{:?}-{:04x}-{:04x}-{:016x}.tuning.json",
            adapter.backend,
            adapter.vendor,
            adapter.device,
            fnv(adapter.to_string().bytes())
        );
        Some(self.cache_folder()?.join(name))
    }
}

/// The 64-bit FNV-1a hash, which is the same in every version of this program.
pub fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Backend;

    #[test]
    fn a_file_counts_only_for_its_adapter_and_shaders() {
        let adapter = |name: &str| AdapterSummary {
            name: name.into(),
            backend: Backend::Vulkan,
            kind: "discrete",
            driver: "1".into(),
            vendor: 1,
            device: 2,
        };
        let folder = std::env::temp_dir().join(format!("aquatint-tuning-{}", std::process::id()));
        let path = folder.join("a.tuning.json");
        let mut tuning = Tuning::new(&adapter("a"), 7);
        let choice = Choice { variant: "v".into(), seconds: 1.0, table_seconds: 2.0 };
        tuning.choices.insert("k".into(), choice);
        tuning.failed.insert("w".into(), "wrong".into());
        tuning.write(&path).expect("a folder of our own");
        let read = |name: &str, shaders| Tuning::read(&path, &adapter(name), shaders);
        assert_eq!(read("a", 7), tuning);
        assert_eq!((read("a", 7).choice("k"), read("a", 7).has_failed("w")), (Some("v"), true));
        assert_eq!(read("a", 8), Tuning::new(&adapter("a"), 8));
        assert_eq!(read("b", 7), Tuning::new(&adapter("b"), 7));
        for broken in ["", "{", "[]", "{\"adapter\": 1}", "\u{0}\u{1}"] {
            std::fs::write(&path, broken).expect("a folder of our own");
            assert_eq!(read("a", 7), Tuning::new(&adapter("a"), 7), "{broken:?}");
        }
        std::fs::remove_dir_all(&folder).expect("a folder of our own");
        assert_eq!(read("a", 7), Tuning::new(&adapter("a"), 7));
    }
}
