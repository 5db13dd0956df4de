//! Reading a watermark: how far a text keeps to the lists that a key draws.

use std::collections::HashSet;

use crate::kernels::Watermark;

/// What a key finds in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Different pairs of neighbouring tokens.
    pub n_pairs: usize,
    /// Those whose second token is on the list that the first one draws.
    pub n_listed: usize,
    /// How many a text without the mark would have.
    pub expected: f64,
    /// Standard deviations above that.
    pub z: f64,
    /// The probability that a text without the mark has as many: the binomial distribution's tail.
    pub p: f64,
}

/// Looks for a mark in the tokens of a text. A pair that comes again counts once, since it would agree with
/// the lists again by itself. Source: Kirchenbauer et al. 2023, arXiv:2301.10226, sections 3 and 4.
pub fn detect(ids: &[u32], mark: &Watermark) -> Detection {
    let pairs: HashSet<(u32, u32)> = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let n_pairs = pairs.len();
    let n_listed = pairs.into_iter().filter(|&(previous, id)| mark.lists(previous, id)).count();
    let (n, gamma) = (n_pairs as f64, f64::from(mark.gamma));
    let expected = gamma * n;
    let z = (n_listed as f64 - expected) / (n * gamma * (1.0 - gamma)).sqrt().max(1e-9);
    Detection { n_pairs, n_listed, expected, z, p: tail(n_pairs, n_listed, gamma) }
}

/// P(X >= k) of a binomial distribution, summed from the smallest term on.
fn tail(n: usize, k: usize, gamma: f64) -> f64 {
    // ln of (n over i) gamma^i (1 - gamma)^(n - i), from i = 0 on.
    let odds = (gamma / (1.0 - gamma)).ln();
    let mut term = n as f64 * (1.0 - gamma).ln();
    let mut terms = Vec::with_capacity(n + 1);
    for i in 0..=n {
        terms.push(term);
        term += ((n - i) as f64 / (i + 1) as f64).ln() + odds;
    }
    terms[k.min(n)..].iter().rev().map(|term| term.exp()).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_binomial_distribution() {
        // From scipy.stats.binom.sf(k - 1, n, p).
        for (n, k, p, expected) in [
            (10, 0, 0.25, 1.0),
            (10, 5, 0.25, 0.078_126_907_35),
            (120, 80, 0.5, 1.652_000_092e-4),
            (200, 90, 0.25, 6.541_036_417e-10),
            (300, 75, 0.25, 0.522_152_081_2),
            (0, 0, 0.5, 1.0),
        ] {
            let found = tail(n, k, p);
            assert!((found / expected - 1.0).abs() < 1e-8, "{n} {k} {p}: {found}");
        }
    }

    #[test]
    fn pairs_count_once() {
        let mark = Watermark::new("key", 0.25, 2.0);
        let found = detect(&[1, 2, 1, 2, 1, 2, 3], &mark);
        assert_eq!(found.n_pairs, 3);
        assert_eq!(detect(&[5], &mark), Detection { n_pairs: 0, n_listed: 0, expected: 0.0, z: 0.0, p: 1.0 });
    }
}
