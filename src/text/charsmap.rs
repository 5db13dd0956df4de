//! The precompiled normalisation table of SentencePiece files: a map from byte strings to replacements.
//!
//! ```text
//!  u32 size | trie: size bytes of u32 units | replacements, each ended by a zero byte
//! ```
//!
//! The trie is a double array. A unit holds, from bit 0: the label that must lead to it (8 bits), whether a
//! value hangs on it (bit 8), whether its offset is to be shifted by 8 (bit 9), the offset (bits 10 to 30).
//! A unit with bit 31 set is a value: the place of a replacement. Every index from the file is checked.
//!
//! Source: Darts-clone's `darts.h` unit layout, as SentencePiece's `normalizer.cc` uses it.

use crate::error::{Error, Result};

#[derive(Debug)]
pub struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    pub fn new(file: &str, bytes: &[u8]) -> Result<Charsmap> {
        let wrong = |message: &str| Error::file(file, format!("normalisation table: {message}"));
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| wrong("shorter than 4 bytes"))?;
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() || !size.is_multiple_of(4) {
            return Err(wrong(&format!("says {size} bytes of trie, {} follow", rest.len())));
        }
        let (trie, replacements) = rest.split_at(size);
        let units = trie.chunks_exact(4).map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]])).collect();
        let replacements = String::from_utf8(replacements.to_vec())
            .map_err(|error| wrong(&format!("replacements are not UTF-8: {error}")))?;
        Ok(Charsmap { units, replacements })
    }

    /// Walks the whole trie: whether any text could lead outside it. [`Charsmap::replace`] does not need
    /// this; readers without checks of their own do.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::file("normalisation table", message));
        let Some(&root) = self.units.first() else { return wrong("it is empty".into()) };
        let mut seen = vec![false; self.units.len()];
        let mut open = vec![offset(root)];
        while let Some(base) = open.pop() {
            // A text may try any byte here.
            if base | 0xff >= self.units.len() {
                return wrong(format!(
                    "a node of the trie points to {base}, outside its {} units",
                    self.units.len()
                ));
            }
            if std::mem::replace(&mut seen[base], true) {
                continue;
            }
            for byte in 1..=255 {
                let node = base ^ byte;
                let unit = self.units[node];
                if unit & 0x8000_00ff != byte as u32 {
                    continue;
                }
                let child = node ^ offset(unit);
                open.push(child);
                if unit & 0x100 == 0 {
                    continue;
                }
                let value = self.units.get(child).map(|value| (value & 0x7fff_ffff) as usize);
                let rest = value.and_then(|at| self.replacements.get(at..));
                if !rest.is_some_and(|rest| rest.contains('\0')) {
                    return wrong(format!("node {node} of the trie has no replacement"));
                }
            }
        }
        Ok(())
    }

    /// The longest start of `text` that has a replacement: its length in bytes and the replacement.
    pub fn replace(&self, text: &str) -> Option<(usize, &str)> {
        let mut node = offset(*self.units.first()?);
        let mut found = None;
        for (i, byte) in text.bytes().enumerate() {
            node ^= usize::from(byte);
            let Some(&unit) = self.units.get(node) else { break };
            if byte == 0 || unit & 0x8000_00ff != u32::from(byte) {
                break;
            }
            node ^= offset(unit);
            if unit & 0x100 != 0 {
                let value = self.units.get(node).map(|value| (value & 0x7fff_ffff) as usize);
                found = value.map(|value| (i + 1, value)).or(found);
            }
        }
        let (length, at) = found?;
        // A match inside a character or a place inside a replacement's character is a damaged table.
        let replacement = self.replacements.get(at..)?.split('\0').next()?;
        text.is_char_boundary(length).then_some((length, replacement))
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_tables_are_harmless() {
        assert!(Charsmap::new("f", &[1, 0]).is_err());
        assert!(Charsmap::new("f", &[8, 0, 0, 0, 1, 2, 3, 4]).is_err());
        let mut bytes = vec![16, 0, 0, 0];
        bytes.extend([0xff; 16]);
        bytes.extend(b"ab\0");
        let map = Charsmap::new("f", &bytes).expect("sizes agree");
        assert!(map.check().is_err());
        assert_eq!(map.replace("abc"), None);
        assert_eq!(map.replace(""), None);
    }
}
