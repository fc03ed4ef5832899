//! How far two distributions over the same cells are apart: PSI, Jensen-Shannon, Hellinger and what is simpler.

use std::f64::consts::{LN_2, SQRT_2};

use super::{Lack, tails, totals};

/// The population stability index, and whether it is more than chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Psi {
    /// Σ (q − p) ln(q/p), in nats, with half a count added to every cell so that empty ones do not make it infinite.
    pub psi: f64,
    /// The chance of an index as large without drift, in which psi / (1/n + 1/m) is χ² with one degree of freedom
    /// less than cells: below some 500 values an index of 0.1 is chance.
    pub p: f64,
}

/// Distances between shares; all are 0 for equal ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// The Jensen-Shannon divergence in nats, 0 to ln 2.
    pub js: f64,
    /// Hellinger's distance, 0 to 1.
    pub hellinger: f64,
    /// The largest difference of a share.
    pub l_infinity: f64,
    /// Total variation, half the sum of differences, 0 to 1.
    pub total_variation: f64,
}

/// PSI of counts by cell.
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] where nothing was counted.
pub fn psi(reference: &[u64], current: &[u64]) -> Result<Psi, Lack> {
    let [n, m] = totals(reference, current)?.map(|total| total as f64);
    let cells = reference.len().max(current.len()) as f64;
    let share = |count: u64, total: f64| (count as f64 + 0.5) / (total + 0.5 * cells);
    let psi = cells_of(reference, current).map(|[a, b]| index(share(a, n), share(b, m))).sum::<f64>();
    Ok(Psi { psi, p: tails::chi2_sf(psi / (1.0 / n + 1.0 / m), cells - 1.0) })
}

/// The index as Evidently has it: shares as they are, empty ones replaced by `floor` (1e-4 there).
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] where nothing was counted.
pub fn psi_floored(reference: &[u64], current: &[u64], floor: f64) -> Result<f64, Lack> {
    let [n, m] = totals(reference, current)?.map(|total| total as f64);
    let share = |count: u64, total: f64| if count == 0 { floor } else { count as f64 / total };
    Ok(cells_of(reference, current).map(|[a, b]| index(share(a, n), share(b, m))).sum())
}

fn index(p: f64, q: f64) -> f64 {
    (q - p) * (q / p).ln()
}

/// Distances of counts by cell.
///
/// # Errors
/// [`Lack::NoReference`] or [`Lack::InsufficientData`] where nothing was counted.
pub fn divergence(reference: &[u64], current: &[u64]) -> Result<Divergence, Lack> {
    let [n, m] = totals(reference, current)?.map(|total| total as f64);
    let relative_entropy = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let (mut left, mut right, mut roots, mut largest, mut sum) = (0.0, 0.0, 0.0, 0.0_f64, 0.0);
    for [a, b] in cells_of(reference, current) {
        let (p, q) = (a as f64 / n, b as f64 / m);
        let middle = (p + q) / 2.0;
        left += relative_entropy(p, middle);
        right += relative_entropy(q, middle);
        roots += (p.sqrt() - q.sqrt()).powi(2);
        largest = largest.max((p - q).abs());
        sum += (p - q).abs();
    }
    Ok(Divergence {
        js: ((left + right) / 2.0).max(0.0),
        hellinger: roots.sqrt() / SQRT_2,
        l_infinity: largest,
        total_variation: sum / 2.0,
    })
}

/// Counts side by side; a shorter side has none in the cells beyond its end.
fn cells_of<'a>(reference: &'a [u64], current: &'a [u64]) -> impl Iterator<Item = [u64; 2]> + 'a {
    let at = |counts: &[u64], index: usize| counts.get(index).copied().unwrap_or(0);
    (0..reference.len().max(current.len())).map(move |i| [at(reference, i), at(current, i)])
}

impl Divergence {
    /// The Jensen-Shannon divergence in bits, 0 to 1.
    pub fn js_bits(&self) -> f64 {
        self.js / LN_2
    }

    /// The Jensen-Shannon distance of base e, the root of the divergence.
    pub fn js_distance_nats(&self) -> f64 {
        self.js.sqrt()
    }

    /// The Jensen-Shannon distance of base 2, 0 to 1.
    pub fn js_distance_bits(&self) -> f64 {
        self.js_bits().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_missing_is_said_and_what_has_nothing_in_common_is_farthest() {
        assert_eq!(psi(&[0, 0], &[1, 2]), Err(Lack::NoReference));
        assert_eq!(psi_floored(&[1, 2], &[0, 0], 1e-4), Err(Lack::InsufficientData));
        assert_eq!(divergence(&[], &[]), Err(Lack::NoReference));
        let far = divergence(&[5, 0], &[0, 9]).unwrap();
        assert_eq!((far.l_infinity, far.total_variation), (1.0, 1.0));
        assert!((far.js_bits() - 1.0).abs() < 1e-15 && (far.hellinger - 1.0).abs() < 1e-15);
        assert_eq!(psi(&[7], &[9]).unwrap(), Psi { psi: 0.0, p: 1.0 });
    }

    #[test]
    fn an_index_of_a_tenth_is_chance_in_small_samples_only() {
        let small = psi(&[10, 10, 10, 10], &[13, 7, 12, 8]).unwrap();
        let large = psi(&[1000, 1000, 1000, 1000], &[1300, 700, 1200, 800]).unwrap();
        assert!(small.p > 0.3 && large.p < 1e-9, "{small:?} {large:?}");
    }

    proptest! {
        #[test]
        fn sides_swap_and_bounds_hold(counts in prop::collection::vec((0..99_u64, 0..99_u64), 1..40)) {
            let (mut x, mut y): (Vec<u64>, Vec<u64>) = counts.into_iter().unzip();
            x[0] += 1;
            y[0] += 1;
            let (here, there) = (divergence(&x, &y).unwrap(), divergence(&y, &x).unwrap());
            for (a, b, most) in [
                (here.js_bits(), there.js_bits(), 1.0),
                (here.js_distance_bits(), there.js_distance_bits(), 1.0),
                (here.hellinger, there.hellinger, 1.0),
                (here.total_variation, there.total_variation, 1.0),
                (here.l_infinity, there.l_infinity, here.total_variation),
            ] {
                prop_assert!((a - b).abs() < 1e-7 && (0.0..=most + 1e-12).contains(&a));
            }
            let (here, there) = (psi(&x, &y).unwrap(), psi(&y, &x).unwrap());
            prop_assert!((here.psi - there.psi).abs() < 1e-12 && here.psi >= 0.0 && (0.0..=1.0).contains(&here.p));
            prop_assert!(psi(&x, &x).unwrap().psi == 0.0 && divergence(&y, &y).unwrap().js == 0.0);
        }
    }
}
