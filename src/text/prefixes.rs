//! A set of byte strings that finds every member that a text starts with.
//!
//! The members are kept sorted, in one buffer; a search narrows the range of members that still agree with
//! the text, byte by byte. No allocation per member, so a vocabulary of 250,000 pieces costs its own size.

/// The set. Each member has a value, its token id.
#[derive(Debug, Default)]
pub struct Prefixes {
    bytes: Vec<u8>,
    /// `(start, end)` in `bytes` and the value, sorted by the bytes.
    members: Vec<(u32, u32, u32)>,
    /// Members that start with byte `b` are `members[first[b]..first[b + 1]]`. Empty when there is none.
    first: Vec<u32>,
}

impl Prefixes {
    /// Of equal members the last one counts, as in the files that list them. Empty members are dropped.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a [u8], u32)>) -> Prefixes {
        let mut sorted: Vec<(&[u8], u32)> = members.into_iter().filter(|(m, _)| !m.is_empty()).collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        sorted.dedup_by(|later, kept| {
            let equal = later.0 == kept.0;
            if equal {
                kept.1 = later.1;
            }
            equal
        });
        let mut set = Prefixes::default();
        for (member, value) in &sorted {
            let start = set.bytes.len() as u32;
            set.bytes.extend_from_slice(member);
            set.members.push((start, set.bytes.len() as u32, *value));
        }
        set.first =
            (0..=256).map(|b| sorted.partition_point(|(m, _)| usize::from(m[0]) < b) as u32).collect();
        set
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Calls `found(length, value)` for each member that `text` starts with, shortest first.
    pub fn each_prefix(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let Some(&byte) = text.first() else { return };
        if self.members.is_empty() {
            return;
        }
        let byte = usize::from(byte);
        let mut range = &self.members[self.first[byte] as usize..self.first[byte + 1] as usize];
        let mut length = 1;
        while let Some(&(start, end, value)) = range.first() {
            if (end - start) as usize == length {
                found(length, value);
                range = &range[1..];
            }
            let Some(&byte) = text.get(length) else { return };
            let at = |member: &(u32, u32, u32)| self.bytes[member.0 as usize + length];
            let low = range.partition_point(|member| at(member) < byte);
            let high = low + range[low..].partition_point(|member| at(member) == byte);
            range = &range[low..high];
            length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_prefix() {
        let set = Prefixes::new([
            (&b"a"[..], 1),
            (&b"abc"[..], 2),
            (&b"abd"[..], 3),
            (&b"b"[..], 4),
            (&b""[..], 5),
            (&b"b"[..], 6),
        ]);
        let all = |text: &str| {
            let mut found = vec![];
            set.each_prefix(text.as_bytes(), |length, value| found.push((length, value)));
            found
        };
        assert_eq!(all("abcd"), [(1, 1), (3, 2)]);
        assert_eq!(all("abd"), [(1, 1), (3, 3)]);
        assert_eq!(all("bb"), [(1, 6)]);
        assert_eq!(all("x"), []);
        assert_eq!(all(""), []);
    }
}
