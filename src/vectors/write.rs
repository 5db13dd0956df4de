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
    // "-1.5e-7": as many digits as are needed. Where two numbers of so many digits are equally near,
    // NumPy takes the even one, as Rust does only where it is told how many digits to write.
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let n_digits = digits.bytes().filter(u8::is_ascii_digit).count();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The nearest f32 to 1e-4 is a little less than it.
    let exact = f64::from(value);
    let written = if value == 0.0 || (1e-4..1e6).contains(&exact.abs()) {
        let n_decimals = (n_digits as i32 - 1 - exponent).max(0) as usize;
        write!(out, "{exact:.n_decimals$}{}", if n_decimals == 0 { ".0" } else { "" })
    } else {
        let text = format!("{exact:.*e}", n_digits - 1);
        let digits = text.split_once('e').map_or(text.as_str(), |(digits, _)| digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    };
    written.expect("memory can be written to");
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
            // Halfway between two texts: the even one.
            (343_126.125, "343126.12"),
            (343_126.375, "343126.38"),
            (-1_752_255.25, "-1.7522552e+06"),
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
