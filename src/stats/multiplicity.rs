//! P-values of many tests at once, adjusted: what is below the level in the answer is a finding among all of them.
//!
//! Answers are in the order of the question, 0 to 1. A NaN, which is no p-value, counts as 1: nothing was shown.

/// Holm's step-down procedure: the chance of any false finding stays below the level, whatever the dependence.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let count = p.len();
    let mut adjusted = vec![1.0; count];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(p[index].max(0.0) * (count - rank) as f64).min(1.0);
        adjusted[index] = if p[index].is_nan() { 1.0 } else { largest };
    }
    adjusted
}

/// Benjamini and Hochberg 1995: the expected share of false findings stays below the level, for tests that are
/// independent or positively dependent.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// Benjamini and Yekutieli 2001: the same under any dependence, at a factor of 1 + ½ + … + 1/n.
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

fn step_up(p: &[f64], factor: f64) -> Vec<f64> {
    let order = ascending(p);
    let count = p.len() as f64;
    let mut adjusted = vec![1.0; p.len()];
    let mut smallest = 1.0_f64;
    for (rank, index) in order.into_iter().enumerate().rev() {
        // `min` passes over NaN.
        smallest = smallest.min(p[index] * (count / (rank + 1) as f64 * factor));
        adjusted[index] = smallest;
    }
    adjusted
}

/// Indices from the smallest p-value to the largest, NaN last.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    let key = |index: usize| if p[index].is_nan() { f64::INFINITY } else { p[index] };
    order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn holm_steps_down_and_keeps_the_order() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let want = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15), "{adjusted:?}");
    }

    #[test]
    fn what_is_no_p_value_shows_nothing() {
        for adjust in [holm, benjamini_hochberg, benjamini_yekutieli] {
            assert_eq!(adjust(&[]), Vec::<f64>::new());
            let adjusted = adjust(&[0.001, f64::NAN]);
            assert!(adjusted[0] <= 0.003 && adjusted[1] == 1.0, "{adjusted:?}");
        }
    }

    proptest! {
        #[test]
        fn adjusting_raises_keeps_ranks_and_is_strictest_by_yekutieli_and_holm(p in prop::collection::vec(0.0..1.0_f64, 1..60)) {
            let [holm, bh, by] = [holm, benjamini_hochberg, benjamini_yekutieli].map(|adjust| adjust(&p));
            for i in 0..p.len() {
                prop_assert!(p[i] <= bh[i] + 1e-15 && bh[i] <= by[i] + 1e-15 && bh[i] <= holm[i] + 1e-15 && by[i] <= 1.0 && holm[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || (bh[i] <= bh[j] && by[i] <= by[j] && holm[i] <= holm[j]));
                }
            }
        }
    }
}
