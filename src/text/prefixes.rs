//! A set of byte strings that finds every member that a text starts with.
//!
//! A tree with a node per different beginning. The children of a node lie side by side in the order of their
//! bytes, and the bytes in an array of their own, so that a step reads one or two cache lines.

/// The set. Each member has a value, its token id.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// Node 0 is the root.
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    labels: Vec<u8>,
    /// The node of each first byte; 0 for none.
    first: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    children: u32,
    n_children: u32,
    /// Of the member that ends here, or [`NONE`].
    value: u32,
}

/// No token has this id.
const NONE: u32 = u32::MAX;

impl Prefixes {
    /// Of equal members the last one counts, as in the files that list them. Empty members are dropped.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a [u8], u32)>) -> Prefixes {
        let mut sorted: Vec<(&[u8], u32)> = members.into_iter().filter(|(m, _)| !m.is_empty()).collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        if sorted.is_empty() {
            return Prefixes::default();
        }
        let empty = Node { children: 0, n_children: 0, value: NONE };
        let mut set = Prefixes { nodes: vec![empty], labels: vec![0], first: vec![0; 256] };
        // The members below each node; nodes are filled in the order in which they are made.
        let mut below = vec![0..sorted.len()];
        let (mut node, mut depth, mut depth_ends) = (0, 0, 1);
        while node < set.nodes.len() {
            if node == depth_ends {
                (depth, depth_ends) = (depth + 1, set.nodes.len());
            }
            let mut range = below[node].clone();
            // Members that end here come first.
            while !range.is_empty() && sorted[range.start].0.len() == depth {
                set.nodes[node].value = sorted[range.start].1;
                range.start += 1;
            }
            set.nodes[node].children = set.nodes.len() as u32;
            while !range.is_empty() {
                let byte = sorted[range.start].0[depth];
                let n_same = sorted[range.clone()].partition_point(|(member, _)| member[depth] == byte);
                set.nodes[node].n_children += 1;
                set.nodes.push(empty);
                set.labels.push(byte);
                below.push(range.start..range.start + n_same);
                range.start += n_same;
            }
            node += 1;
        }
        for child in set.children(0) {
            set.first[usize::from(set.labels[child])] = child as u32;
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn children(&self, node: usize) -> std::ops::Range<usize> {
        let Node { children, n_children, .. } = self.nodes[node];
        children as usize..(children + n_children) as usize
    }

    /// Calls `found(length, value)` for each member that `text` starts with, shortest first.
    #[inline]
    pub fn each_prefix(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let (Some(&byte), false) = (text.first(), self.nodes.is_empty()) else { return };
        let mut node = self.first[usize::from(byte)] as usize;
        let mut length = 1;
        while node != 0 {
            let value = self.nodes[node].value;
            if value != NONE {
                found(length, value);
            }
            let Some(&byte) = text.get(length) else { return };
            let children = self.children(node);
            let labels = &self.labels[children.clone()];
            let place = match labels.len() {
                0 => return,
                1..=8 => labels.iter().position(|&label| label == byte),
                _ => labels.binary_search(&byte).ok(),
            };
            node = place.map_or(0, |place| children.start + place);
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
