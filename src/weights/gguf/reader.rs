//! A cursor over untrusted bytes: whatever it returns was there, and nothing larger than what
//! remains is ever allocated.

use std::fmt::Display;

use crate::error::{Error, Result};

pub struct Reader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { file, bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn error(&self, message: impl Display) -> Error {
        Error::file(self.file, format!("{message} (before byte {})", self.at))
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes, which are of `what`.
    pub fn take(&mut self, n: usize, what: &dyn Display) -> Result<&'a [u8]> {
        if n > self.remaining() {
            return Err(self.truncated(n as u64, what));
        }
        let bytes = &self.bytes[self.at..][..n];
        self.at += n;
        Ok(bytes)
    }

    fn truncated(&self, n: u64, what: &dyn Display) -> Error {
        Error::file(
            self.file,
            format!(
                "{what} needs {n} bytes at byte {}, {} remain; the file is truncated or damaged",
                self.at,
                self.remaining()
            ),
        )
    }

    pub fn number<T, const N: usize>(&mut self, what: &dyn Display, decode: fn([u8; N]) -> T) -> Result<T> {
        let bytes = self.take(N, what)?;
        Ok(decode(bytes.try_into().expect("take gives as many bytes as asked")))
    }

    pub fn u32(&mut self, what: &dyn Display) -> Result<u32> {
        self.number(what, u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &dyn Display) -> Result<u64> {
        self.number(what, u64::from_le_bytes)
    }

    pub fn bool(&mut self, what: &dyn Display) -> Result<bool> {
        match self.number(what, u8::from_le_bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.error(format!("{what}: expected 0 or 1 for a boolean, found {other}"))),
        }
    }

    /// A count of things that take at least `bytes_min` each and must follow.
    pub fn count(&mut self, bytes_min: usize, what: &dyn Display) -> Result<usize> {
        let n = self.u64(what)?;
        let fits = usize::try_from(n).ok().filter(|n| *n <= self.remaining() / bytes_min);
        fits.ok_or_else(|| {
            self.error(format!(
                "{what}: a count of {n} needs at least {} bytes, {} remain",
                u128::from(n) * bytes_min as u128,
                self.remaining()
            ))
        })
    }

    pub fn array<T, const N: usize>(
        &mut self,
        what: &dyn Display,
        decode: fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let n = self.count(N, what)?;
        let bytes = self.take(n * N, what)?;
        Ok(bytes
            .chunks_exact(N)
            .map(|bytes| decode(bytes.try_into().expect("chunks have N bytes")))
            .collect())
    }

    pub fn string(&mut self, bytes_max: usize, what: &dyn Display) -> Result<String> {
        let n = self.u64(what)?;
        let Some(n) = usize::try_from(n).ok().filter(|n| *n <= self.remaining()) else {
            return Err(self.truncated(n, what));
        };
        if n > bytes_max {
            return Err(self.error(format!("{what}: a string of {n} bytes is too long; at most {bytes_max}")));
        }
        let bytes = self.take(n, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.error(format!("{what}: not UTF-8: {error}"))),
        }
    }
}
