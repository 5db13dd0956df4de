//! Files of word vectors: word2vec's text and binary formats, GloVe's text format.
//!
//! ```text
//! word2vec text     "n d\n", then n lines "word v1 v2 ... vd"
//! word2vec binary   "n d\n", then n times: word, space, d times f32 (little endian), maybe a newline
//! GloVe text        lines "word v1 v2 ... vd", without a first line
//! ```
//!
//! Source: word2vec.c of <https://code.google.com/archive/p/word2vec/>; Pennington et al. 2014 (GloVe).

use std::path::Path;

use crate::error::{Error, Result};

/// Words and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    pub words: Vec<String>,
    pub dimensions: usize,
    /// (n_words, dimensions)
    pub values: Vec<f32>,
}

/// The longest vector and the longest word in bytes that are taken for real.
const DIMENSIONS_MAX: usize = 65_536;
const WORD_BYTES_MAX: usize = 4_096;

impl WordVectors {
    /// Reads a file in any of the formats.
    ///
    /// Fails with the line or the word at which the file is no longer what it began as.
    pub fn read(path: impl AsRef<Path>) -> Result<WordVectors> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        parse(&bytes, &path.display().to_string())
    }

    pub fn vector(&self, i: usize) -> &[f32] {
        &self.values[i * self.dimensions..(i + 1) * self.dimensions]
    }
}

fn parse(bytes: &[u8], file: &str) -> Result<WordVectors> {
    let fail = |message: String| Error::file(file, message);
    let first_end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let first = std::str::from_utf8(&bytes[..first_end]).unwrap_or_default();
    let fields: Vec<&str> = first.split_whitespace().collect();
    if fields.is_empty() && bytes[..first_end].iter().all(u8::is_ascii_whitespace) {
        return Err(fail("is empty; expected word vectors".into()));
    }
    let header = match &fields[..] {
        [n, d] => n.parse::<usize>().ok().zip(d.parse::<usize>().ok()),
        _ => None,
    };
    let Some((n, dimensions)) = header else {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            fail(format!(
                "has no first line \"words dimensions\" and is no text (byte {})",
                error.valid_up_to()
            ))
        })?;
        return parse_text(text, None, fields.len().saturating_sub(1), 1, file);
    };
    if n == 0 || dimensions == 0 || dimensions > DIMENSIONS_MAX {
        return Err(fail(format!("its first line says {n} words of {dimensions} dimensions")));
    }
    let body = &bytes[(first_end + 1).min(bytes.len())..];
    // Each word takes at least a letter, a space and its numbers, of 2 bytes in text and 4 in binary.
    if n.checked_mul(2 + 2 * dimensions).is_none_or(|least| least > body.len() + 1) {
        return Err(fail(format!(
            "promises {n} words of {dimensions} dimensions, {} bytes follow",
            body.len()
        )));
    }
    match std::str::from_utf8(body) {
        Ok(text)
            if text.lines().next().is_some_and(|line| line.split_whitespace().count() == dimensions + 1) =>
        {
            parse_text(text, Some(n), dimensions, 2, file)
        }
        _ => parse_binary(body, n, dimensions, file),
    }
}

fn parse_text(
    text: &str,
    n: Option<usize>,
    dimensions: usize,
    first_line: usize,
    file: &str,
) -> Result<WordVectors> {
    let fail = |line: usize, message: String| Error::file(file, format!("line {line}: {message}"));
    if dimensions == 0 || dimensions > DIMENSIONS_MAX {
        return Err(fail(1, format!("expected a word and its numbers, found {dimensions} numbers")));
    }
    let mut vectors = WordVectors { words: Vec::new(), dimensions, values: Vec::new() };
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = i + first_line;
        let mut fields: Vec<&str> = line.trim_end().rsplitn(dimensions + 1, ' ').collect();
        if fields.len() != dimensions + 1 {
            return Err(fail(
                number,
                format!("expected a word and {dimensions} numbers, found {}", fields.len()),
            ));
        }
        let word = fields.pop().expect("it was counted");
        for field in fields.iter().rev() {
            let value: f32 =
                field.parse().map_err(|_| fail(number, format!("expected a number, found {field:?}")))?;
            if !value.is_finite() {
                return Err(fail(number, format!("the vector of {word:?} has a number that is {field}")));
            }
            vectors.values.push(value);
        }
        vectors.words.push(word.to_owned());
    }
    match n {
        Some(n) if n != vectors.words.len() => {
            Err(fail(1, format!("promises {n} words, {} follow", vectors.words.len())))
        }
        _ => Ok(vectors),
    }
}

fn parse_binary(body: &[u8], n: usize, dimensions: usize, file: &str) -> Result<WordVectors> {
    let mut vectors = WordVectors { words: Vec::new(), dimensions, values: Vec::new() };
    let mut rest = body;
    for i in 0..n {
        let fail = |message: &str| Error::file(file, format!("word {} of {n}: {message}", i + 1));
        // gensim and word2vec.c put a newline behind each vector, others do not.
        while let Some(tail) = rest.strip_prefix(b"\n") {
            rest = tail;
        }
        let space = rest.iter().take(WORD_BYTES_MAX).position(|&b| b == b' ');
        let space =
            space.ok_or_else(|| fail("expected a word and a space; the file is cut off or no vectors"))?;
        let word = std::str::from_utf8(&rest[..space]).map_err(|_| fail("the word is not UTF-8"))?;
        let numbers =
            rest[space + 1..].get(..4 * dimensions).ok_or_else(|| fail("the file ends inside its vector"))?;
        let values = numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        vectors.values.extend(values);
        if vectors.values[i * dimensions..].iter().any(|value| !value.is_finite()) {
            return Err(fail("its vector has a number that is not finite"));
        }
        vectors.words.push(word.to_owned());
        rest = &rest[space + 1 + 4 * dimensions..];
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_formats_read_the_same() {
        let text = b"2 3\nking 1 2 3\nqueen 1 2.5 -3\n";
        let mut binary = b"2 3\n".to_vec();
        for (word, values) in [("king", [1.0f32, 2.0, 3.0]), ("queen", [1.0, 2.5, -3.0])] {
            binary.extend(word.bytes().chain([b' ']));
            binary.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            binary.push(b'\n');
        }
        let expected = parse(text, "text").expect("valid");
        assert_eq!(expected.vector(1), [1.0, 2.5, -3.0]);
        assert_eq!(parse(&binary, "binary").expect("valid"), expected);
        assert_eq!(parse(&text[4..], "glove").expect("valid"), expected);
        // Every cut of a binary file is an error, never a panic.
        for end in 0..binary.len() - 1 {
            assert!(parse(&binary[..end], "cut").is_err() || end + 1 == binary.len(), "cut at {end}");
        }
        assert!(parse(b"9999999999 300\nx", "bomb").is_err());
        assert!(parse(b"1 2\na 1 nan\n", "nan").is_err());
    }
}
