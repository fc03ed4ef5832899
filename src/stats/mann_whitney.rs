//! The Mann-Whitney U test: whether values of one sample tend to be larger.

use super::{Lack, Method, finite_pair, tails};

/// The largest smaller sample for which [`Method::Auto`] is exact, as in scipy.
const AUTO_EXACT: usize = 8;
/// More steps than this are not counted exactly (about half a second).
const MAX_STEPS: u64 = 500_000_000;

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// U of the reference: pairs in which its value is the larger one, ties half.
    pub u1: f64,
    /// The chance of a U as far from n·m/2, in either direction, when both come from one distribution.
    pub p: f64,
    /// Finite values used, of the reference and of the current sample.
    pub n_used: [usize; 2],
    /// Whether `p` is exact, which supposes that there are no ties.
    pub exact: bool,
}

/// Compares two samples, of which only finite values count, two-sided. [`Method::Asymptotic`] is the normal law,
/// corrected for ties and for continuity (½); [`Method::Exact`] becomes that one where counting would take long.
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] for a sample without a finite value.
pub fn mann_whitney(reference: &[f64], current: &[f64], method: Method) -> Result<MannWhitney, Lack> {
    let [x, y] = finite_pair(reference, current)?;
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (twice_u1, ties) = compare(&x, &y);
    let u1 = twice_u1 as f64 / 2.0;
    let larger = u1.max(n * m - u1);
    let exact = match method {
        Method::Auto if ties > 0.0 || x.len().min(y.len()) > AUTO_EXACT => None,
        Method::Auto | Method::Exact => upper_tail(larger as u64, x.len() as u64, y.len() as u64),
        Method::Asymptotic => None,
    };
    let p = (2.0 * exact.unwrap_or_else(|| normal_tail(larger, n, m, ties))).min(1.0);
    Ok(MannWhitney { u1, p, n_used: [x.len(), y.len()], exact: exact.is_some() })
}

/// 2·U of the first of two sorted samples, and the sum of t³ − t over runs of t equal values.
fn compare(x: &[f64], y: &[f64]) -> (u64, f64) {
    let (mut i, mut j, mut twice, mut ties) = (0, 0, 0, 0.0);
    loop {
        let value = match (x.get(i), y.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => return (twice, ties),
        };
        let here = x[i..].iter().take_while(|x| **x == value).count();
        let there = y[j..].iter().take_while(|y| **y == value).count();
        twice += here as u64 * (2 * j + there) as u64;
        (i, j) = (i + here, j + there);
        let run = (here + there) as f64;
        ties += run * run * run - run;
    }
}

/// P(U ≥ u) by the normal law.
fn normal_tail(u: f64, n: f64, m: f64, ties: f64) -> f64 {
    let all = n + m;
    let spread = if all > 1.0 { ties / (all * (all - 1.0)) } else { 0.0 };
    let variance = n * m / 12.0 * (all + 1.0 - spread);
    if variance <= 0.0 {
        return 1.0; // All values are equal.
    }
    tails::norm_sf((u - n * m / 2.0 - 0.5) / variance.sqrt())
}

/// P(U ≥ u) for `u` ≥ nm/2 by counting orders; none where that would take long.
///
/// By symmetry it is P(U ≤ nm − u), built up by whose value is the largest: with i and j values,
/// P(k) = i/(i+j) P(i−1, j; k − j) + j/(i+j) P(i, j−1; k). Only sums of positive terms.
fn upper_tail(u: u64, n: u64, m: u64) -> Option<f64> {
    let (long, short) = (n.max(m), n.min(m));
    let last = (n * m).checked_sub(u)?;
    if long.saturating_mul(short).saturating_mul(last + 1) > MAX_STEPS {
        return None;
    }
    let width = last as usize + 1;
    // Row j holds P(i, j; ·) for the i that has been reached.
    let mut rows = vec![0.0; (short as usize + 1) * width];
    rows.iter_mut().step_by(width).for_each(|first| *first = 1.0);
    for i in 1..=long {
        for j in 1..=short as usize {
            let (below, row) = rows.split_at_mut(j * width);
            let (below, row) = (&below[(j - 1) * width..], &mut row[..width]);
            let all = i as f64 + j as f64;
            let (grown, stayed) = (i as f64 / all, j as f64 / all);
            for k in (0..width).rev() {
                let shifted = if k >= j { row[k - j] } else { 0.0 };
                row[k] = grown * shifted + stayed * below[k];
            }
        }
    }
    Some(rows[short as usize * width..].iter().sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_exact_law_is_that_of_all_orders() {
        // Places of 3 among 7 values; U is how many others are below.
        let mut orders = [0_u32; 13];
        for a in 0..7_usize {
            for b in a + 1..7 {
                for c in b + 1..7 {
                    orders[a + (b - 1) + (c - 2)] += 1;
                }
            }
        }
        for u in 6..=12 {
            let want = f64::from(orders[u..].iter().sum::<u32>()) / 35.0;
            for (n, m) in [(3, 4), (4, 3)] {
                let got = upper_tail(u as u64, n, m).unwrap();
                assert!((got - want).abs() < 1e-15, "{u}: {got} and not {want}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_said_and_all_ties_show_nothing() {
        let test = |x: &[f64], y: &[f64]| mann_whitney(x, y, Method::Auto);
        assert_eq!(test(&[f64::NAN], &[1.0]), Err(Lack::NoReference));
        assert_eq!(test(&[1.0], &[f64::INFINITY]), Err(Lack::InsufficientData));
        let tied = test(&[2.0; 5], &[2.0; 3]).unwrap();
        assert_eq!((tied.u1, tied.p, tied.exact, tied.n_used), (7.5, 1.0, false, [5, 3]));
        assert!(test(&[1.0], &[2.0]).unwrap().exact);
    }

    #[test]
    fn counting_that_would_take_long_gives_way_to_the_normal_law() {
        let values: Vec<f64> = (0..2000).map(f64::from).collect();
        let found = mann_whitney(&values, &values, Method::Exact).unwrap();
        assert!(!found.exact && found.p > 0.9, "{found:?}");
    }

    proptest! {
        #[test]
        fn samples_swap_and_the_two_laws_are_near_each_other(
            x in prop::collection::vec(-50.0..50.0_f64, 8..30), y in prop::collection::vec(-40.0..60.0_f64, 8..30)
        ) {
            let pairs = (x.len() * y.len()) as f64;
            let [exact, swapped, normal] = [(&x, &y, Method::Exact), (&y, &x, Method::Exact), (&x, &y, Method::Asymptotic)]
                .map(|(x, y, method)| mann_whitney(x, y, method).unwrap());
            prop_assert!(exact.u1 + swapped.u1 == pairs && (exact.p - swapped.p).abs() <= 1e-12 * exact.p);
            prop_assert!((0.0..=1.0).contains(&exact.p) && (exact.p - normal.p).abs() < 0.03);
        }
    }
}
