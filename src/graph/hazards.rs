//! How often a program makes the device wait between two dispatches.
//!
//! wgpu orders dispatches by whole buffers: a dispatch waits for all before it as soon as it touches a
//! buffer that one of them wrote, or writes one that one of them read, unless the buffer was made ready
//! for the same reading before. What a program needs is less where tensors that have nothing to do with
//! each other share a buffer.

use std::collections::HashMap;
use std::hash::Hash;

/// The waits of one replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// As wgpu orders dispatches, by buffers.
    pub by_buffers: usize,
    /// As they would be ordered by tensors.
    pub by_tensors: usize,
}

/// What a dispatch touches: (what, whether it writes).
pub(super) type Touched<K> = Vec<(K, bool)>;

/// The dispatches that wait.
pub(super) fn count<K: Hash + Eq>(dispatches: &[Touched<K>]) -> usize {
    // Whether each thing was last written; a wait makes only what the dispatch touches ready.
    let mut last: HashMap<&K, bool> = HashMap::new();
    let mut n = 0;
    for touched in dispatches {
        let waits = touched.iter().any(|(what, writes)| match last.get(what) {
            Some(written) => *written || *writes,
            None => false,
        });
        n += usize::from(waits);
        for (what, writes) in touched {
            last.insert(what, *writes);
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_together_does_not_wait_and_writing_does() {
        let read = |what| (what, false);
        let write = |what| (what, true);
        assert_eq!(count::<&str>(&[]), 0);
        assert_eq!(count(&[vec![read("x"), write("a")], vec![read("x"), write("b")]]), 0);
        assert_eq!(count(&[vec![write("x")], vec![read("x")], vec![read("x")]]), 1);
        assert_eq!(count(&[vec![read("x")], vec![write("x")]]), 1);
        // Two parts of one buffer.
        assert_eq!(count(&[vec![write("x")], vec![write("x")]]), 1);
    }
}
