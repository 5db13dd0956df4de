//! Correlations and how likely they are by chance.

/// A correlation and its two-sided p-value: the probability of one as large between unrelated numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    pub value: f64,
    pub p: f64,
}

/// Pearson's correlation. NaN where one side is constant or there are fewer than two pairs.
pub fn pearson(x: &[f64], y: &[f64]) -> Correlation {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let pairs = || x.iter().map(|v| v - mean_x).zip(y.iter().map(|v| v - mean_y));
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    let (xx, yy) = pairs().fold((0.0, 0.0), |(xx, yy), (a, b)| (xx + a * a, yy + b * b));
    let value = (product / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0);
    // t = r sqrt((n - 2) / (1 - r^2)) follows Student's t with n - 2 degrees of freedom.
    let p = if x.len() == 2 { 1.0 } else { incomplete_beta(1.0 - value * value, (n - 2.0) / 2.0, 0.5) };
    Correlation { value, p: if value.is_nan() { f64::NAN } else { p } }
}

/// Spearman's correlation of ranks; equal numbers share the mean of their ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> Correlation {
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut i = 0;
    while i < order.len() {
        let same = order[i..].iter().take_while(|&&j| values[j] == values[order[i]]).count().max(1);
        let rank = i as f64 + (same as f64 + 1.0) / 2.0;
        order[i..i + same].iter().for_each(|&j| ranks[j] = rank);
        i += same;
    }
    ranks
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction.
/// Source: Abramowitz & Stegun 1964, 26.5.8; evaluated as Lentz 1976 does.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    let away_from_0 = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_0(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..1000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / away_from_0(1.0 + term * d);
            c = away_from_0(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln();
    front.exp() * fraction / a
}

/// ln of the gamma function for x > 0: Stirling's series (Abramowitz & Stegun 6.1.41) above 10, reached by
/// gamma(x + 1) = x gamma(x).
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy.stats 1.17: pearsonr and spearmanr of these lists.
        let x = [1.0, 2.0, 2.0, 4.0, 7.0, 3.5];
        let y = [0.1, 0.4, 0.35, 0.3, 0.9, 0.4];
        let (p, s) = (pearson(&x, &y), spearman(&x, &y));
        for (found, expected) in
            [(p.value, PEARSON.0), (p.p, PEARSON.1), (s.value, SPEARMAN.0), (s.p, SPEARMAN.1)]
        {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        assert!(pearson(&x, &[1.0; 6]).value.is_nan());
    }

    const PEARSON: (f64, f64) = (0.8941343220439635, 0.016218065649834135);
    const SPEARMAN: (f64, f64) = (0.6029411764705883, 0.20518426877671472);
}
