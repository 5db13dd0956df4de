//! Byte-pair merging: joins neighbouring symbols, best pair first, until no pair is known.
//!
//! One procedure serves merges by rank (GPT-2), by score (SentencePiece) and by the rank of the joined
//! bytes (tiktoken): they differ only in how a pair is looked up. A heap holds the candidate pairs and
//! symbols are linked in a list, so `n` symbols cost `O(n log n)` even when they are one long word.
//!
//! Sources: Sennrich et al. 2016, arXiv:1508.07909; Kudo and Richardson 2018, arXiv:1808.06226.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of the text, as byte range `start..end`, and the token it is for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    pub id: u32,
    pub start: u32,
    pub end: u32,
}

/// The id of a symbol that no token spells. It takes part in merges only by its text.
pub const NO_TOKEN: u32 = u32::MAX;

/// What the join of two symbols would be.
#[derive(Debug, Clone, Copy)]
pub struct Joined {
    /// Pairs with a smaller key are joined first; ties go to the leftmost pair.
    pub key: u32,
    pub id: u32,
}

/// A candidate. The derived order is the order of joining: key, then position.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    key: u32,
    left: u32,
    right: u32,
    /// End of the right symbol when the pair was found: a pair whose right side grew since is stale.
    end: u32,
    id: u32,
}

/// Joins `symbols` in place. `join` says what a pair of neighbours becomes, if anything.
pub fn merge(symbols: &mut Vec<Symbol>, join: impl Fn(&Symbol, &Symbol) -> Option<Joined>) {
    const END: u32 = u32::MAX;
    let n_symbols = symbols.len();
    if n_symbols <= N_SHORT {
        return merge_short(symbols, join);
    }
    // Neighbours by index. A symbol that was joined into its left neighbour has an empty range.
    let mut previous: Vec<u32> = (0..n_symbols as u32).map(|i| i.wrapping_sub(1)).collect();
    let mut next: Vec<u32> = (1..n_symbols as u32).chain([END]).collect();
    let candidate = |symbols: &[Symbol], left: u32, right: u32| {
        let (a, b) = (&symbols[left as usize], &symbols[right as usize]);
        join(a, b).map(|joined| Reverse(Pair { key: joined.key, left, right, end: b.end, id: joined.id }))
    };
    let mut heap: BinaryHeap<Reverse<Pair>> =
        (1..n_symbols as u32).filter_map(|right| candidate(symbols, right - 1, right)).collect();

    while let Some(Reverse(pair)) = heap.pop() {
        let (left, right) = (pair.left as usize, pair.right as usize);
        let gone = |symbol: &Symbol| symbol.start == symbol.end;
        if gone(&symbols[left])
            || gone(&symbols[right])
            || next[left] != pair.right
            || symbols[right].end != pair.end
        {
            continue;
        }
        symbols[left] = Symbol { id: pair.id, start: symbols[left].start, end: pair.end };
        symbols[right].start = symbols[right].end;
        next[left] = next[right];
        if next[right] != END {
            previous[next[right] as usize] = pair.left;
            heap.extend(candidate(symbols, pair.left, next[right]));
        }
        if previous[left] != END {
            heap.extend(candidate(symbols, previous[left], pair.left));
        }
    }
    symbols.retain(|symbol| symbol.start != symbol.end);
}

/// Words of up to this many symbols are merged without a heap: most are.
const N_SHORT: usize = 32;

fn merge_short(symbols: &mut Vec<Symbol>, join: impl Fn(&Symbol, &Symbol) -> Option<Joined>) {
    // What each symbol and the next would be.
    let mut joins = [None; N_SHORT];
    for (i, pair) in symbols.windows(2).enumerate() {
        joins[i] = join(&pair[0], &pair[1]);
    }
    while symbols.len() > 1 {
        let n_pairs = symbols.len() - 1;
        let candidates =
            joins[..n_pairs].iter().enumerate().filter_map(|(i, join)| Some((join.as_ref()?.key, i)));
        let Some((_, at)) = candidates.min() else { return };
        let id = joins[at].map_or(NO_TOKEN, |join: Joined| join.id);
        symbols[at] = Symbol { id, start: symbols[at].start, end: symbols[at + 1].end };
        symbols.remove(at + 1);
        joins.copy_within(at + 1..n_pairs, at);
        joins[n_pairs - 1] = None;
        if at > 0 {
            joins[at - 1] = join(&symbols[at - 1], &symbols[at]);
        }
        if at + 1 < symbols.len() {
            joins[at] = join(&symbols[at], &symbols[at + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, pairs: &[(&str, u32)]) -> Vec<String> {
        let mut symbols: Vec<Symbol> =
            (0..text.len() as u32).map(|i| Symbol { id: NO_TOKEN, start: i, end: i + 1 }).collect();
        let slice = |a: &Symbol, b: &Symbol| text[a.start as usize..b.end as usize].to_owned();
        merge(&mut symbols, |a, b| {
            let joined = slice(a, b);
            pairs.iter().find(|(pair, _)| *pair == joined).map(|&(_, key)| Joined { key, id: 0 })
        });
        symbols.iter().map(|s| slice(s, s)).collect()
    }

    #[test]
    fn best_pair_first_then_leftmost() {
        assert_eq!(run("abc", &[("ab", 2), ("bc", 1)]), ["a", "bc"]);
        assert_eq!(run("aaaaa", &[("aa", 1)]), ["aa", "aa", "a"]);
        assert_eq!(run("aaaaa", &[("aa", 1), ("aaa", 0)]), ["aaa", "aa"]);
        assert_eq!(run("", &[]), Vec::<String>::new());
    }

    /// Around the length from which on the heap is used.
    #[test]
    fn short_and_long_words_are_merged_alike() {
        let pairs = [("ab", 3), ("abab", 1), ("ba", 2), ("aba", 0), ("bb", 4)];
        let join = |text: &[u8], a: &Symbol, b: &Symbol| {
            let joined = &text[a.start as usize..b.end as usize];
            pairs.iter().find(|(pair, _)| pair.as_bytes() == joined).map(|&(_, key)| Joined { key, id: key })
        };
        for n in 2..N_SHORT {
            for seed in 0..200u32 {
                let letter = |i: usize| {
                    if seed.wrapping_mul(2_654_435_761) >> (i % 31) & 1 == 0 { b'a' } else { b'b' }
                };
                let text: Vec<u8> = (0..n).map(letter).collect();
                let symbols = |m: usize| (0..m as u32).map(|i| Symbol { id: NO_TOKEN, start: i, end: i + 1 });
                let mut short: Vec<Symbol> = symbols(n).collect();
                merge_short(&mut short, |a, b| join(&text, a, b));
                // The same word with symbols behind it that join with nothing.
                let padded: Vec<u8> = text.iter().copied().chain([b'-'; N_SHORT]).collect();
                let mut long: Vec<Symbol> = symbols(padded.len()).collect();
                merge(&mut long, |a, b| join(&padded, a, b));
                assert_eq!(short[..], long[..long.len() - N_SHORT], "{text:?}");
            }
        }
    }
}
