//! Biases by distance, in buckets that widen with it.
//!
//! Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1.

use super::decoder::Relative;

/// The bucket of a position `ahead` of the token's own.
fn bucket(relative: &Relative, ahead: isize, bidirectional: bool) -> usize {
    let mut n_buckets = relative.n_buckets;
    let mut first = 0;
    let distance = if bidirectional {
        n_buckets /= 2;
        first = if ahead > 0 { n_buckets } else { 0 };
        ahead.unsigned_abs()
    } else {
        ahead.min(0).unsigned_abs()
    };
    // Half of the buckets are for one distance each.
    let n_exact = n_buckets / 2;
    if distance < n_exact {
        return first + distance;
    }
    // In f32 and in this order, as the models were trained.
    let span = (relative.max_distance as f64 / n_exact as f64).ln() as f32;
    let wide = (distance as f32 / n_exact as f32).ln() / span * (n_buckets - n_exact) as f32;
    first + (n_exact + wide as usize).min(n_buckets - 1)
}

/// The bias of each head for the distances -max_distance to max_distance, which stand for all beyond.
///
/// Shapes: `buckets: (n_buckets, n_heads)`, the result `(n_heads, 2 * max_distance + 1)`.
pub fn table(relative: &Relative, buckets: &[f32], n_heads: usize, bidirectional: bool) -> Vec<f32> {
    let reach = relative.max_distance as isize;
    let of = |head: usize, ahead: isize| buckets[bucket(relative, ahead, bidirectional) * n_heads + head];
    (0..n_heads)
        .flat_map(|head| (-reach..=reach).map(move |ahead| (head, ahead)))
        .map(|(h, a)| of(h, a))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the reference implementation with 32 buckets up to 128.
    #[test]
    fn buckets_are_the_reference_ones() {
        let relative = Relative { n_buckets: 32, max_distance: 128 };
        let of = |ahead: isize, both: bool| bucket(&relative, ahead, both);
        let behind: Vec<usize> = [0, -1, -15, -16, -20, -31, -64, -127, -500].map(|a| of(a, false)).to_vec();
        assert_eq!(behind, [0, 1, 15, 16, 17, 21, 26, 31, 31]);
        assert_eq!(of(3, false), 0);
        let both: Vec<usize> = [-7, -8, -30, -200, 0, 1, 7, 8, 90, 200].map(|a| of(a, true)).to_vec();
        assert_eq!(both, [7, 8, 11, 15, 0, 17, 23, 24, 30, 31]);
    }
}
