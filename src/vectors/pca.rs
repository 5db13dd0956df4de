//! Principal components: the two directions in which vectors differ most.

use rayon::prelude::*;

/// Points in the plane of the two largest principal components.
#[derive(Debug, Clone)]
pub struct Plane {
    /// (n, 2)
    pub points: Vec<[f64; 2]>,
    /// The share of the variance along each.
    pub shares: [f64; 2],
}

/// Iterations of a power iteration at most: the second of two nearly equal components takes the most.
const ROUNDS: usize = 500;

/// Projects vectors of equal length onto the two directions of most variance. The sign of each is such that
/// the largest coordinate is positive, so that the same vectors give the same picture.
pub fn plane(rows: &[Vec<f32>]) -> Plane {
    let (n, width) = (rows.len(), rows.first().map_or(0, Vec::len));
    let mean: Vec<f64> =
        (0..width).map(|c| rows.iter().map(|row| f64::from(row[c])).sum::<f64>() / n.max(1) as f64).collect();
    let centred: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| row.iter().zip(&mean).map(|(&v, mean)| f64::from(v) - mean).collect())
        .collect();
    let total: f64 = centred.iter().flatten().map(|v| v * v).sum();
    let mut points = vec![[0.0; 2]; n];
    let mut shares = [0.0; 2];
    let mut found: Vec<Vec<f64>> = Vec::new();
    for axis in 0..2.min(width) {
        // Any start that is not at right angles to the component.
        let mut v: Vec<f64> =
            (0..width).map(|c| 1.0 + ((c * 7919 + axis * 104_729) % 97) as f64 / 97.0).collect();
        let length = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|a| *a /= length);
        for _ in 0..ROUNDS {
            let mut next = apply(&centred, &v);
            for other in &found {
                let along = dot(&next, other);
                next.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
            let length = dot(&next, &next).sqrt();
            if length <= 1e-12 * total {
                // Nothing is left to vary.
                next.iter_mut().for_each(|a| *a = 0.0);
                v = next;
                break;
            }
            next.iter_mut().for_each(|a| *a /= length);
            let moved = 1.0 - dot(&next, &v).abs();
            v = next;
            if moved < 1e-14 {
                break;
            }
        }
        let coordinates: Vec<f64> = centred.iter().map(|row| dot(row, &v)).collect();
        let largest = coordinates.iter().fold(0.0f64, |m, &c| if c.abs() > m.abs() + 1e-9 { c } else { m });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        points.iter_mut().zip(&coordinates).for_each(|(point, c)| point[axis] = sign * c);
        shares[axis] = dot(&coordinates, &coordinates) / total.max(1e-300);
        found.push(v);
    }
    Plane { points, shares }
}

/// X^T (X v)
fn apply(rows: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
    let add = |mut sum: Vec<f64>, row: &Vec<f64>| {
        let along = dot(row, v);
        sum.iter_mut().zip(row).for_each(|(s, r)| *s += along * r);
        sum
    };
    let zero = || vec![0.0; v.len()];
    let merge = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
    // Chunks of a fixed size add up in a fixed order.
    let sums: Vec<Vec<f64>> = rows.par_chunks(256).map(|rows| rows.iter().fold(zero(), add)).collect();
    sums.into_iter().fold(zero(), merge)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_are_those_of_most_variance() {
        // Long along (1, 1, 0), short along (1, -1, 0), nothing along the third.
        let rows: Vec<Vec<f32>> = [(-3.0, 0.5), (-1.0, -0.5), (1.0, -0.5), (3.0, 0.5)]
            .map(|(a, b): (f32, f32)| vec![5.0 + a + b, a - b, 7.0])
            .to_vec();
        let plane = plane(&rows);
        let root = 2f64.sqrt();
        for (point, (a, b)) in
            plane.points.iter().zip([(-3.0, 0.5), (-1.0, -0.5), (1.0, -0.5), (3.0, 0.5f64)])
        {
            assert!((point[0].abs() - root * f64::abs(a)).abs() < 1e-6, "{point:?}");
            assert!((point[1].abs() - root * b.abs()).abs() < 1e-6, "{point:?}");
        }
        assert!((plane.shares[0] - 20.0 / 21.0).abs() < 1e-9 && (plane.shares[1] - 1.0 / 21.0).abs() < 1e-9);
    }

    #[test]
    fn the_first_component_has_the_most_variance() {
        // Forty vectors of which two directions stand out, neither along the start of the iteration.
        let wave = |i: usize, c: usize| ((i * 31 + c * 17) as f64 * 0.7).sin();
        let row = |i: usize| -> Vec<f32> {
            let (a, b) = (5.0 * wave(i, 1), 3.0 * wave(i, 2));
            let along = |c: usize| a * (-1f64).powi(c as i32) + b * if c < 4 { 1.0 } else { -1.0 };
            (0..8).map(|c| (along(c) + 0.1 * wave(i, c + 5)) as f32).collect()
        };
        let plane = plane(&(0..40).map(row).collect::<Vec<_>>());
        // The squares of numpy.linalg.svd's singular values of the same matrix.
        let [first, second] = plane.shares;
        assert!(
            (first - 0.927_682_88).abs() < 1e-6 && (second - 0.072_317_08).abs() < 1e-6,
            "{first} {second}"
        );
    }

    #[test]
    fn equal_vectors_lie_on_one_point() {
        let plane = plane(&[vec![1.0, 2.0], vec![1.0, 2.0]]);
        assert!(plane.points.iter().flatten().all(|v| v.abs() < 1e-12) && plane.shares[0] < 1e-6);
        assert!(super::plane(&[]).points.is_empty());
    }
}
