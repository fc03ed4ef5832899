//! The distance of Wasserstein (W₁, the earth mover's): how far values must move to become the other sample.

use super::{Lack, Moments, finite_pair};

/// How far two samples are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wasserstein {
    /// The mean way, in the unit of the values.
    pub distance: f64,
    /// The same in standard deviations (divisor n) of the reference; none where the reference is constant.
    pub normalized: Option<f64>,
    /// Finite values used, of the reference and of the current sample.
    pub n_used: [usize; 2],
}

/// The area between the two distribution functions, of finite values.
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] for a sample without a finite value.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Result<Wasserstein, Lack> {
    let [x, y] = finite_pair(reference, current)?;
    let (mut i, mut j) = (0, 0);
    let mut distance = 0.0;
    let mut before = x[0].min(y[0]);
    while i < x.len() || j < y.len() {
        let next = match (x.get(i), y.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (_, b) => b.copied().unwrap_or(before),
        };
        let gap = (i as f64 / x.len() as f64 - j as f64 / y.len() as f64).abs();
        distance += gap * (next - before);
        before = next;
        i += x[i..].iter().take_while(|x| **x == next).count();
        j += y[j..].iter().take_while(|y| **y == next).count();
    }
    let deviation = x.iter().copied().collect::<Moments>().population_deviation()?;
    let normalized = (deviation > 0.0).then(|| distance / deviation);
    Ok(Wasserstein { distance, normalized, n_used: [x.len(), y.len()] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_missing_is_said_and_a_constant_reference_has_no_scale() {
        assert_eq!(wasserstein(&[f64::NAN], &[1.0]), Err(Lack::NoReference));
        assert_eq!(wasserstein(&[1.0], &[f64::NEG_INFINITY]), Err(Lack::InsufficientData));
        let found = wasserstein(&[3.0, 3.0], &[4.0, f64::NAN]).unwrap();
        assert_eq!((found.distance, found.normalized, found.n_used), (1.0, None, [2, 1]));
    }

    proptest! {
        #[test]
        fn a_shift_moves_by_itself_and_the_way_back_is_as_long(
            x in prop::collection::vec(-9.0..9.0_f64, 1..40), y in prop::collection::vec(-9.0..9.0_f64, 1..40), by in 0.0..7.0_f64
        ) {
            let shifted: Vec<f64> = x.iter().map(|value| value + by).collect();
            prop_assert!((wasserstein(&x, &shifted).unwrap().distance - by).abs() < 1e-12);
            let (there, back) = (wasserstein(&x, &y).unwrap(), wasserstein(&y, &x).unwrap());
            prop_assert!((there.distance - back.distance).abs() < 1e-12 && there.distance >= 0.0);
            let apart = wasserstein(&shifted, &y).unwrap().distance;
            prop_assert!(there.distance <= by + apart + 1e-12);
        }
    }
}
