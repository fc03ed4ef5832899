//! Sample-ratio mismatch: whether units came to variants as the weights say.

use super::{Lack, tails};

/// Fewer units in a variant than this, and the test says too little to act on (GrowthBook's rule).
pub const MIN_UNITS: u64 = 8;
/// Below this p-value an experiment is invalid, where it is looked at daily.
pub const INVALID_BELOW: f64 = 0.001;

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// χ² of goodness of fit.
    pub statistic: f64,
    /// The chance of a χ² as large when units come by the weights.
    pub p: f64,
    /// Whether every variant has [`MIN_UNITS`].
    pub enough: bool,
}

/// Holds units by variant against weights, which need not sum to 1. Units where the weight is 0 cannot be: p is 0.
///
/// # Errors
/// [`Lack::NoReference`] without a positive weight, [`Lack::InsufficientData`] without units.
pub fn mismatch(counts: &[u64], weights: &[f64]) -> Result<Mismatch, Lack> {
    let all: f64 = weights.iter().sum();
    let total: u64 = counts.iter().sum();
    // Neither 0 nor NaN.
    if all.is_nan() || all <= 0.0 {
        return Err(Lack::NoReference);
    }
    if total == 0 {
        return Err(Lack::InsufficientData);
    }
    let mut statistic = 0.0;
    let mut variants = 0;
    let mut fewest = u64::MAX;
    for (index, count) in counts.iter().copied().enumerate() {
        let expected = total as f64 * (weights.get(index).copied().unwrap_or(0.0) / all);
        if expected > 0.0 {
            statistic += (count as f64 - expected).powi(2) / expected;
            variants += 1;
            fewest = fewest.min(count);
        } else if count > 0 {
            statistic = f64::INFINITY;
        }
    }
    let p = tails::chi2_sf(statistic, f64::from(variants - 1));
    Ok(Mismatch { statistic, p, enough: fewest >= MIN_UNITS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_and_what_cannot_be_has_no_chance() {
        assert_eq!(mismatch(&[1, 2], &[0.0, 0.0]), Err(Lack::NoReference));
        assert_eq!(mismatch(&[1, 2], &[]), Err(Lack::NoReference));
        assert_eq!(mismatch(&[0, 0], &[1.0, 1.0]), Err(Lack::InsufficientData));
        for impossible in [mismatch(&[10, 10, 1], &[1.0, 1.0, 0.0]), mismatch(&[10, 10, 1], &[1.0, 1.0])] {
            assert_eq!(impossible.unwrap().p, 0.0);
        }
        assert_eq!(mismatch(&[10], &[1.0]).unwrap().p, 1.0);
        assert_eq!(mismatch(&[10, 0], &[1.0, 0.0]).unwrap().p, 1.0);
    }

    #[test]
    fn only_ratios_of_weights_count_and_few_units_are_not_enough() {
        let [a, b] = [[0.2, 0.3], [2.0, 3.0]].map(|weights| mismatch(&[7, 30], &weights).unwrap());
        assert!((a.p / b.p - 1.0).abs() < 1e-12 && !a.enough);
        assert!(mismatch(&[8, 30], &[0.2, 0.3]).unwrap().enough);
    }
}
