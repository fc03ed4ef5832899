//! Ratios of sums over units, such as clicks per view, whose units bring both a numerator and a denominator.

use super::sequential::Arm;
use super::{Joint, Lack};

/// A ratio of means and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Units.
    pub n: u64,
    /// Mean numerator by mean denominator.
    pub ratio: f64,
    /// The variance of one unit's part in the ratio; by `n` it is that of the ratio.
    pub variance: f64,
    /// The standard error of the ratio.
    pub standard_error: f64,
}

/// The ratio of pairs (numerator, denominator), one per unit: requests of one unit are not independent, units are.
///
/// The variance is the delta method's, (σ²ₙ − 2r·σₙ,ₐ + r²σ²ₐ) / mean², divisor n − 1 (Deng, Knoblich and Lu 2018).
///
/// # Errors
/// [`Lack::InsufficientData`] for fewer than two units, and where denominators sum to 0.
pub fn ratio(units: &Joint) -> Result<Ratio, Lack> {
    let (top, bottom, shared) = (units.x.variance()?, units.y.variance()?, units.covariance()?);
    if units.y.mean == 0.0 {
        return Err(Lack::InsufficientData);
    }
    let ratio = units.x.mean / units.y.mean;
    let spread = (top - 2.0 * ratio * shared + ratio * ratio * bottom).max(0.0);
    let variance = spread / (units.y.mean * units.y.mean);
    Ok(Ratio { n: units.x.n, ratio, variance, standard_error: (variance / units.x.n as f64).sqrt() })
}

impl From<Ratio> for Arm {
    fn from(ratio: Ratio) -> Self {
        Self { n: ratio.n, mean: ratio.ratio, variance: ratio.variance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_one_request_per_unit_it_is_the_mean() {
        let units: Joint = [1.0, 0.0, 1.0, 1.0, 0.0].into_iter().map(|value| (value, 1.0)).collect();
        let found = ratio(&units).unwrap();
        assert!(
            (found.ratio - 0.6).abs() < 1e-15 && (found.variance - units.x.variance().unwrap()).abs() < 1e-15
        );
    }

    #[test]
    fn units_that_all_have_the_ratio_leave_no_doubt() {
        let units: Joint = (1..9).map(|i| (f64::from(i), f64::from(2 * i))).collect();
        let found = ratio(&units).unwrap();
        assert!((found.ratio - 0.5).abs() < 1e-15 && found.standard_error < 1e-8, "{found:?}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let joint = |pairs: &[(f64, f64)]| pairs.iter().copied().collect::<Joint>();
        assert_eq!(ratio(&joint(&[(1.0, 2.0)])), Err(Lack::InsufficientData));
        assert_eq!(ratio(&joint(&[(1.0, 0.0), (2.0, 0.0)])), Err(Lack::InsufficientData));
    }
}
