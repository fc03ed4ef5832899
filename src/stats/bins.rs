//! Bins of a feature at the quantiles of its reference: a value costs a few comparisons, counts merge exactly.

use super::Lack;

/// Where bins begin. Cell 0 counts NaN, cell 1 what lies below the first edge (−∞ too), the last cell what is at or
/// above the last edge (+∞ too).
#[derive(Clone, Debug, PartialEq)]
pub struct Edges(Vec<f64>);

impl Edges {
    /// The quantiles i/`bins` of the finite values of a reference, interpolated linearly (numpy's `linear`, to the
    /// bit); equal ones once.
    ///
    /// # Errors
    /// [`Lack::NoReference`] for no finite value.
    pub fn quantiles(reference: &[f64], bins: usize) -> Result<Self, Lack> {
        let mut values: Vec<f64> = reference.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1).ok_or(Lack::NoReference)?;
        let mut edges: Vec<f64> = (1..bins)
            .map(|i| {
                let place = last as f64 * (i as f64 / bins as f64);
                let (index, share) = (place as usize, place.fract());
                let (low, high) = (values[index], values[(index + 1).min(last)]);
                let step = high - low;
                // From the nearer end, so that an end is met exactly.
                if share < 0.5 { low + step * share } else { high - step * (1.0 - share) }
            })
            .collect();
        edges.dedup();
        Ok(Self(edges))
    }

    /// Edges that are known, strictly increasing.
    pub const fn new(edges: Vec<f64>) -> Self {
        Self(edges)
    }

    /// The edges, strictly increasing.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// How many cells there are: one more than bins.
    pub const fn cells(&self) -> usize {
        self.0.len() + 2
    }

    /// The cell of a value.
    #[inline]
    pub fn cell(&self, value: f64) -> usize {
        if value.is_nan() { 0 } else { 1 + self.0.partition_point(|edge| *edge <= value) }
    }

    /// Counts of values by cell.
    pub fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.cells()];
        values.iter().for_each(|value| counts[self.cell(*value)] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_number_has_its_own_cell_and_infinities_the_outer_ones() {
        let edges = Edges::quantiles(&[1.0, 2.0, 3.0, f64::NAN, f64::INFINITY], 2).unwrap();
        assert_eq!(edges.as_slice(), [2.0]);
        let values = [f64::NAN, f64::NEG_INFINITY, 1.9, 2.0, f64::INFINITY];
        assert_eq!(values.map(|value| edges.cell(value)), [0, 1, 1, 2, 2]);
        assert_eq!(edges.count(&values), [1, 2, 2]);
    }

    #[test]
    fn quantiles_are_numpys_to_the_bit() {
        // numpy.quantile([0.54, 0.75], 2/3); 0.54 + 0.21 · 2/3 is one bit less.
        assert_eq!(Edges::quantiles(&[0.54, 0.75], 3).unwrap().as_slice()[1], 0.68);
    }

    #[test]
    fn a_constant_has_one_edge_and_nothing_has_none() {
        assert_eq!(Edges::quantiles(&[3.0; 9], 10).unwrap().as_slice(), [3.0]);
        assert_eq!(Edges::quantiles(&[0.0, -0.0, 0.0], 10).unwrap().as_slice(), [0.0]);
        assert_eq!(Edges::quantiles(&[f64::NAN], 10), Err(Lack::NoReference));
        assert_eq!(Edges::quantiles(&[1.0], 1).unwrap().cells(), 2);
    }

    proptest! {
        #[test]
        fn every_value_is_counted_once_and_parts_add_up(
            x in prop::collection::vec(-9.0..9.0_f64, 1..80), y in prop::collection::vec(-9.0..9.0_f64, 0..80), bins in 1..33_usize
        ) {
            let edges = Edges::quantiles(&x, bins).unwrap();
            prop_assert!(edges.as_slice().windows(2).all(|pair| pair[0] < pair[1]) && edges.cells() <= bins + 1);
            let (whole, cut) = (edges.count(&y), y.len() / 3);
            let parts = edges.count(&y[..cut]).into_iter().zip(edges.count(&y[cut..])).map(|(a, b)| a + b);
            prop_assert_eq!(whole.iter().sum::<u64>(), y.len() as u64);
            prop_assert_eq!(parts.collect::<Vec<_>>(), whole);
        }
    }
}
