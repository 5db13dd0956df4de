//! The frequencies of rotary position embedding, and how they are scaled for longer contexts.

/// Which elements of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// (i, i + dim / 2)
    Halves,
    /// (2 i, 2 i + 1)
    Neighbours,
}

/// A change of the frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    None,
    /// Every frequency divided by `factor`. Source: Chen et al. 2023, arXiv:2306.15595.
    Linear {
        factor: f64,
    },
    /// The base raised so that the lowest frequency is divided by `factor`.
    Ntk {
        factor: f64,
    },
    /// High frequencies stay, low ones are divided, a ramp between. Source: Peng et al. 2023,
    /// arXiv:2309.00071, section 3.2.
    Yarn {
        factor: f64,
        original_context: f64,
        beta_fast: f64,
        beta_slow: f64,
        attention_factor: Option<f64>,
    },
    /// As Llama 3.1. Source: Grattafiori et al. 2024, arXiv:2407.21783, and its reference code.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_context: f64,
    },
}

/// The frequencies (radians per position) of `dim / 2` pairs, and the factor on cos and sin.
pub fn inv_freq(dim: usize, base: f64, scaling: &Scaling) -> (Vec<f64>, f64) {
    let half = dim / 2;
    let plain = |base: f64| (0..half).map(move |i| base.powf(-2.0 * i as f64 / dim as f64));
    match *scaling {
        Scaling::None => (plain(base).collect(), 1.0),
        Scaling::Linear { factor } => (plain(base).map(|f| f / factor).collect(), 1.0),
        Scaling::Ntk { factor } => {
            let power = dim as f64 / (dim as f64 - 2.0);
            (plain(base * factor.powf(power)).collect(), 1.0)
        }
        Scaling::Yarn { factor, original_context, beta_fast, beta_slow, attention_factor } => {
            // The pair that turns `rotations` times over the original context.
            let pair = |rotations: f64| {
                dim as f64 * (original_context / (rotations * std::f64::consts::TAU)).ln() / (2.0 * base.ln())
            };
            let low = pair(beta_fast).floor().max(0.0);
            let high = pair(beta_slow).ceil().min(dim as f64 - 1.0);
            let width = if high > low { high - low } else { 0.001 };
            let freq = plain(base).enumerate().map(|(i, f)| {
                let ramp = ((i as f64 - low) / width).clamp(0.0, 1.0);
                f / factor * ramp + f * (1.0 - ramp)
            });
            let factor =
                attention_factor.unwrap_or(if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 });
            (freq.collect(), factor)
        }
        Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let freq = plain(base).map(|f| {
                let wavelength = std::f64::consts::TAU / f;
                if wavelength < original_context / high_freq_factor {
                    f
                } else if wavelength > original_context / low_freq_factor {
                    f / factor
                } else {
                    let smooth = (original_context / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            });
            (freq.collect(), 1.0)
        }
    }
}

/// cos and sin of `j * freq` for j in 0..256, then of `256 j * freq` up to `n_positions`, with the
/// factor. Shape: (256 + n_positions / 256 rounded up, dim), pairs of (cos, sin).
pub fn rope_table(freq: &[f64], factor: f64, n_positions: usize) -> Vec<f32> {
    let rows = |n: usize, step: f64, factor: f64| {
        let angles = (0..n).flat_map(move |j| freq.iter().map(move |f| j as f64 * step * f));
        angles.flat_map(move |a| [(factor * a.cos()) as f32, (factor * a.sin()) as f32])
    };
    rows(256, 1.0, 1.0).chain(rows(n_positions.div_ceil(256), 256.0, factor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalings_change_what_they_should() {
        let (plain, one) = inv_freq(8, 10_000.0, &Scaling::None);
        assert_eq!((plain[0], one), (1.0, 1.0));
        assert!((plain[1] - 0.1).abs() < 1e-12);
        let (linear, _) = inv_freq(8, 10_000.0, &Scaling::Linear { factor: 4.0 });
        assert!((linear[0] - 0.25).abs() < 1e-12);
        // Raising the base divides the lowest frequency and keeps the highest.
        let (ntk, _) = inv_freq(8, 10_000.0, &Scaling::Ntk { factor: 4.0 });
        assert!((ntk[0] - 1.0).abs() < 1e-12 && (ntk[3] * 4.0 - plain[3]).abs() < 1e-12);
        let yarn = Scaling::Yarn {
            factor: 4.0,
            original_context: 64.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
        };
        let (yarn, factor) = inv_freq(8, 10_000.0, &yarn);
        assert!((yarn[0] - 1.0).abs() < 1e-12 && (yarn[3] * 4.0 - plain[3]).abs() < 1e-12);
        assert!((factor - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12);
        let llama3 = Scaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 32.0,
        };
        let (llama3, _) = inv_freq(8, 500_000.0, &llama3);
        let (plain, _) = inv_freq(8, 500_000.0, &Scaling::None);
        assert!((llama3[0] - plain[0]).abs() < 1e-12 && (llama3[3] * 8.0 - plain[3]).abs() < 1e-12);
    }
}
