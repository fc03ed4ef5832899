//! How many values that come one after another are worth one that comes independently of those before it.
//!
//! Of means of blocks as a moving-block bootstrap draws them, with its length chosen by the data (Politis and White, "Automatic
//! block-length selection for the dependent bootstrap", 2004): with their flat-top weights the variance that resampling
//! would find is a sum of autocorrelations, so nothing is resampled.

/// Lags in a row without correlation after which none is looked for.
const QUIET: usize = 5;

/// The variance of the mean of `n` values by that of independent ones, 1 at least. `correlation` is that of values so
/// far apart.
pub fn inflation(n: usize, correlation: impl Fn(usize) -> f64) -> f64 {
    if n < 4 * QUIET {
        return 1.0;
    }
    let noise = 2.0 * ((n as f64).log10() / n as f64).sqrt();
    let most = (n as f64).sqrt() as usize + QUIET;
    let (mut known, mut last) = (Vec::new(), 0);
    for lag in 1..=most {
        let found = correlation(lag);
        known.push(if found.is_finite() { found } else { 0.0 });
        if known[lag - 1].abs() >= noise {
            last = lag;
        } else if lag >= last + QUIET {
            break;
        }
    }
    let widest = (2 * last).min(n / 4);
    let weight = |lag: usize| (2.0 * (1.0 - lag as f64 / widest as f64)).min(1.0);
    let term = |lag: usize| {
        let found = known.get(lag - 1).copied().unwrap_or_else(|| correlation(lag));
        if found.is_finite() { weight(lag) * found } else { 0.0 }
    };
    (1.0 + 2.0 * (1..widest).map(term).sum::<f64>()).clamp(1.0, n as f64 / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_value_before_is_worth_less() {
        // An autoregression: correlations φ^lag, inflation (1 + φ) / (1 − φ).
        for (coefficient, least, most) in [(0.0, 1.0, 1.0), (0.5, 2.6, 3.1), (0.9, 13.0, 19.5)] {
            let found = inflation(2000, |lag| f64::powi(coefficient, lag as i32));
            assert!((least..=most).contains(&found), "{coefficient}: {found}");
        }
    }

    #[test]
    fn too_little_or_nothing_to_go_by_is_no_dependence() {
        assert_eq!(inflation(10, |_| 1.0), 1.0);
        assert_eq!(inflation(2000, |_| f64::NAN), 1.0);
        assert_eq!(inflation(2000, |lag| if lag % 2 == 0 { 0.9 } else { -0.9 }), 1.0);
    }
}
