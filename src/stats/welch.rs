//! Welch's test of two means with unequal variances, and the same on values from which a covariate is taken (CUPED).

use super::{Joint, Lack, Moments, tails};

/// What the test finds about the difference of two means, current minus reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// The difference, in the unit of the values.
    pub difference: f64,
    /// The chance of a difference as large, in either direction, when there is none.
    pub p: f64,
    /// What the p-value was found from; none where both sides are constant and equal, which is p = 1.
    pub estimate: Option<Estimate>,
}

/// A difference held against its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// t, the difference in standard errors.
    pub statistic: f64,
    /// Degrees of freedom (Welch and Satterthwaite).
    pub df: f64,
    /// In the unit of the values.
    pub standard_error: f64,
}

/// What a covariate from before the experiment makes of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cuped {
    /// How much of the covariate is taken from a value.
    pub theta: f64,
    /// The test on what is left.
    pub welch: Welch,
}

/// Whether the means of two samples differ. For a fixed horizon: looked at again and again it finds differences that
/// are not there ([`super::sequential`] may be).
///
/// # Errors
/// [`Lack::InsufficientData`] for fewer than two values on a side, [`Lack::InsufficientVariance`] where both sides
/// are constant and differ.
pub fn welch(reference: &Moments, current: &Moments) -> Result<Welch, Lack> {
    from_variances(
        [reference.n, current.n],
        [reference.variance()?, current.variance()?],
        current.mean - reference.mean,
    )
}

/// The same on x − θ·covariate, with the θ that takes most variance away: the covariance within sides, pooled, by the
/// covariate's variance (Deng et al. 2013). In each pair the value is first and its covariate second.
///
/// # Errors
/// As [`welch`], and [`Lack::InsufficientVariance`] where the covariate does not vary.
pub fn cuped(reference: &Joint, current: &Joint) -> Result<Cuped, Lack> {
    let both = [reference, current];
    let spread: f64 = both.iter().map(|side| side.y.m2).sum();
    if both.iter().any(|side| side.x.n < 2) {
        return Err(Lack::InsufficientData);
    }
    if spread == 0.0 {
        return Err(Lack::InsufficientVariance);
    }
    let theta = both.iter().map(|side| side.cross).sum::<f64>() / spread;
    let variance = |side: &Joint| {
        let left = side.x.m2 - 2.0 * theta * side.cross + theta * theta * side.y.m2;
        left.max(0.0) / (side.x.n - 1) as f64
    };
    let difference = current.x.mean - reference.x.mean - theta * (current.y.mean - reference.y.mean);
    let welch = from_variances(both.map(|side| side.x.n), both.map(variance), difference)?;
    Ok(Cuped { theta, welch })
}

fn from_variances(n: [u64; 2], variances: [f64; 2], difference: f64) -> Result<Welch, Lack> {
    let shares = [variances[0] / n[0] as f64, variances[1] / n[1] as f64];
    let square = shares[0] + shares[1];
    if square == 0.0 && difference == 0.0 {
        return Ok(Welch { difference, p: 1.0, estimate: None });
    }
    if square == 0.0 {
        return Err(Lack::InsufficientVariance);
    }
    let standard_error = square.sqrt();
    // Shares of the variance, so that squares of small variances do not vanish.
    let df =
        1.0 / shares.iter().zip(n).map(|(share, n)| (share / square).powi(2) / (n - 1) as f64).sum::<f64>();
    let statistic = difference / standard_error;
    let estimate = Estimate { statistic, df, standard_error };
    Ok(Welch { difference, p: tails::t_sf2(statistic, df), estimate: Some(estimate) })
}

impl Welch {
    /// The interval that holds the true difference with probability 1 − `alpha`; none for constant sides.
    pub fn interval(&self, alpha: f64) -> Option<[f64; 2]> {
        let estimate = self.estimate?;
        let reach = tails::t_isf2(alpha, estimate.df) * estimate.standard_error;
        Some([self.difference - reach, self.difference + reach])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(values: &[f64]) -> Moments {
        values.iter().copied().collect()
    }

    #[test]
    fn constant_sides_are_equal_for_certain_or_say_nothing() {
        let [ones, twos, one] = [moments(&[1.0, 1.0]), moments(&[2.0; 3]), moments(&[1.0])];
        let same = welch(&ones, &ones).unwrap();
        assert_eq!((same.p, same.estimate, same.interval(0.05)), (1.0, None, None));
        assert_eq!(welch(&ones, &twos), Err(Lack::InsufficientVariance));
        assert_eq!([welch(&ones, &one), welch(&one, &ones)], [Err(Lack::InsufficientData); 2]);
    }

    #[test]
    fn a_covariate_that_explains_everything_leaves_the_difference() {
        let side = |shift: f64| -> Joint {
            [3.0, 1.0, 4.0, 1.0, 5.0]
                .iter()
                .enumerate()
                .map(|(i, c)| (2.0 * c + shift + 1e-3 * i as f64, *c))
                .collect()
        };
        let found = cuped(&side(0.0), &side(0.5)).unwrap();
        let plain = welch(&side(0.0).x, &side(0.5).x).unwrap();
        assert!((found.theta - 2.0).abs() < 1e-2 && (found.welch.difference - 0.5).abs() < 1e-9);
        assert!(found.welch.p < 1e-9 && plain.p > 0.5, "{} {}", found.welch.p, plain.p);
        let flat: Joint = [(1.0, 7.0), (2.0, 7.0)].into_iter().collect();
        assert_eq!(cuped(&flat, &flat), Err(Lack::InsufficientVariance));
        assert_eq!(cuped(&flat, &Joint::default()), Err(Lack::InsufficientData));
    }

    proptest! {
        #[test]
        fn sides_swap_their_sign_and_the_interval_agrees_with_p(
            x in prop::collection::vec(-9.0..9.0_f64, 2..30), y in prop::collection::vec(-9.0..12.0_f64, 2..30)
        ) {
            let (x, y) = (moments(&x), moments(&y));
            let (here, there) = (welch(&x, &y).unwrap(), welch(&y, &x).unwrap());
            prop_assert!(here.difference == -there.difference && (here.p - there.p).abs() < 1e-12);
            let [low, high] = here.interval(0.05).unwrap();
            prop_assert!((0.0..=1.0).contains(&here.p) && low <= high);
            prop_assert!((here.p < 0.05) != (low..=high).contains(&0.0) || (here.p - 0.05).abs() < 1e-9);
        }
    }
}
