//! The two-sample Kolmogorov-Smirnov test.
//!
//! Exact p-values count lattice paths ([`exact`]); asymptotic ones are, as in scipy, the law of one sample of
//! nm/(n+m) values ([`kstwo_sf`]) and not its limit ([`kolmogorov_sf`]).

mod durbin;
mod lattice;
mod one_sample;

pub use lattice::exact;
pub use one_sample::{kolmogorov_sf, kstwo_sf, kstwo_sf_quick};

use super::{Lack, Method, finite_pair};

/// The largest sample for which [`Method::Auto`] is exact.
pub const MAX_EXACT: usize = 10_000;

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ks {
    /// D, the largest distance between the two distribution functions, 0 to 1.
    pub statistic: f64,
    /// The chance of a D as large when both come from one continuous distribution; ties make it larger than it is.
    pub p: f64,
    /// Finite values used, of the reference and of the current sample.
    pub n_used: [usize; 2],
    /// Whether `p` is exact.
    pub exact: bool,
}

/// Compares two samples, of which only finite values count, two-sided.
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] for a sample without a finite value.
pub fn two_sample(reference: &[f64], current: &[f64], method: Method) -> Result<Ks, Lack> {
    let [x, y] = finite_pair(reference, current)?;
    let (n, m) = (x.len() as u64, y.len() as u64);
    let distance = distance(&x, &y);
    let statistic = distance as f64 / (n as f64 * m as f64);
    let exact = match method {
        Method::Auto => x.len().max(y.len()) <= MAX_EXACT,
        Method::Exact => true,
        Method::Asymptotic => false,
    };
    let p = if exact { lattice::exact(distance, n, m) } else { asymptotic(statistic, n, m) };
    Ok(Ks { statistic, p, n_used: [x.len(), y.len()], exact })
}

/// The p-value of D for large samples: `kstwo_sf` with nm/(n+m) values, rounded half to even as scipy does.
pub fn asymptotic(statistic: f64, n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    kstwo_sf(statistic, (n * m / (n + m)).round_ties_even() as u64)
}

/// The same to a tenth of it, and much sooner.
pub fn quick(statistic: f64, n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    kstwo_sf_quick(statistic, (n * m / (n + m)).round_ties_even() as u64)
}

/// n·m·D as the whole number it is, of two sorted samples.
fn distance(x: &[f64], y: &[f64]) -> u64 {
    let (n, m) = (x.len() as u64, y.len() as u64);
    let (mut i, mut j, mut largest) = (0, 0, 0);
    while let (Some(a), Some(b)) = (x.get(i), y.get(j)) {
        let value = a.min(*b);
        i += x[i..].iter().take_while(|x| **x == value).count();
        j += y[j..].iter().take_while(|y| **y == value).count();
        largest = largest.max((i as u64 * m).abs_diff(j as u64 * n));
    }
    largest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_finite_values_count_and_none_is_a_lack() {
        let found = two_sample(&[1.0, f64::NAN, 2.0], &[f64::INFINITY, -0.0, 0.0], Method::Auto).unwrap();
        assert_eq!((found.n_used, found.statistic, found.exact), ([2, 2], 1.0, true));
        assert_eq!(two_sample(&[f64::NAN], &[1.0], Method::Auto), Err(Lack::NoReference));
        assert_eq!(two_sample(&[1.0], &[], Method::Auto), Err(Lack::InsufficientData));
    }

    #[test]
    fn equal_samples_have_no_distance_whatever_the_sign_of_zero() {
        for method in [Method::Exact, Method::Asymptotic] {
            let found = two_sample(&[0.0, -0.0, 1.0], &[-0.0, 0.0, 1.0], method).unwrap();
            assert_eq!((found.statistic, found.p), (0.0, 1.0));
        }
    }

    #[test]
    fn auto_is_exact_up_to_ten_thousand_values() {
        let values: Vec<f64> = (0..=MAX_EXACT).map(|i| i as f64).collect();
        assert!(two_sample(&values[1..], &[3.0], Method::Auto).unwrap().exact);
        assert!(!two_sample(&values, &[3.0], Method::Auto).unwrap().exact);
    }

    proptest! {
        #[test]
        fn the_order_of_samples_and_a_common_growing_map_change_nothing(
            x in prop::collection::vec(-9..9_i32, 1..40), y in prop::collection::vec(-9..12_i32, 1..40)
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = (x.into_iter().map(f64::from).collect(), y.into_iter().map(f64::from).collect());
            let map = |values: &[f64]| values.iter().map(|v| v.exp()).collect::<Vec<_>>();
            for method in [Method::Exact, Method::Asymptotic] {
                let here = two_sample(&x, &y, method).unwrap();
                let there = two_sample(&y, &x, method).unwrap();
                prop_assert!((here.p - there.p).abs() <= 1e-12 * here.p && here.statistic == there.statistic);
                prop_assert_eq!(two_sample(&map(&x), &map(&y), method).unwrap(), here);
                prop_assert!((0.0..=1.0).contains(&here.p));
            }
        }
    }
}
