//! Writing files of word vectors, byte for byte as gensim's `save_word2vec_format` does.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::file::WordVectors;
use crate::error::{Error, Result};

/// The formats of `super::file` that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Word2vecText,
    Word2vecBinary,
    /// word2vec's text without its first line.
    GloveText,
}

impl WordVectors {
    /// Writes the vectors. The file appears whole or not at all.
    ///
    /// Fails if a word holds white space, which no format can express.
    pub fn write(&self, path: &Path, format: FileFormat) -> Result<()> {
        if let Some(word) = self.words.iter().find(|w| w.is_empty() || w.contains([' ', '\n', '\r', '\t'])) {
            return Err(Error::Input(format!(
                "the word {word:?} is empty or has white space in it, which ends a word in these files"
            )));
        }
        write_whole(path, |out| self.write_to(out, format))
    }

    fn write_to(&self, out: &mut dyn Write, format: FileFormat) -> std::io::Result<()> {
        if format != FileFormat::GloveText {
            writeln!(out, "{} {}", self.words.len(), self.dimensions)?;
        }
        let mut line = Vec::new();
        for (i, word) in self.words.iter().enumerate() {
            line.clear();
            line.extend_from_slice(word.as_bytes());
            if format == FileFormat::Word2vecBinary {
                line.push(b' ');
                line.extend_from_slice(bytemuck::cast_slice(self.vector(i)));
            } else {
                for &value in self.vector(i) {
                    line.push(b' ');
                    push_number(&mut line, value);
                }
                line.push(b'\n');
            }
            out.write_all(&line)?;
        }
        Ok(())
    }
}

/// Writes a file under another name, then gives it its own; nothing is left of it if writing fails.
pub(super) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".part{}", std::process::id()));
    let partial = PathBuf::from(name);
    let written = std::fs::File::create(&partial).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        out.into_inner().map_err(|error| error.into_error())?.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&partial, path));
    renamed.map_err(|error| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
        Error::io(path, error)
    })
}

/// The shortest text that reads back as `value`, as NumPy 2.4 writes an f32 (and gensim with it): exponents
/// of two digits at least below 1e-4 and from 1e6 on, and a point in every other number.
fn push_number(out: &mut Vec<u8>, value: f32) {
    // The nearest f32 to 1e-4 is a little less than it.
    let size = f64::from(value).abs();
    if size == 0.0 || (1e-4..1e6).contains(&size) {
        let start = out.len();
        write!(out, "{value}").expect("memory can be written to");
        if !out[start..].contains(&b'.') {
            out.extend_from_slice(b".0");
        }
        return;
    }
    // "1.5e-7": Rust writes no plus and no zeros before the exponent.
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    write!(out, "{digits}e{sign}{exponent:0>2}").expect("memory can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_numpy_writes_them() {
        // Printed by `str(numpy.float32(v))`, NumPy 2.4.6.
        let expected = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.062_345_67, "-0.06234567"),
            (1e-4, "1e-04"),
            (1.000_000_05e-4, "0.000100000005"),
            (999_999.94, "999999.94"),
            (1e6, "1e+06"),
            (9.999_999e-5, "9.999999e-05"),
            (1e-5, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1.234_567_9e10, "1.2345679e+10"),
            (1e16, "1e+16"),
            (1.5e20, "1.5e+20"),
            (16_777_216.0, "1.6777216e+07"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (1e-45, "1e-45"),
            (f32::MAX, "3.4028235e+38"),
        ];
        for (value, text) in expected {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(String::from_utf8(out).expect("text"), text);
        }
    }
}
