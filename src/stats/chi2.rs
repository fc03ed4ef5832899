//! Chi-square tests of two rows of counts: whether categories come as they came in the reference.

use super::{Lack, tails, totals};

/// An expected count below this makes the test unreliable, so [`Table::pooled`] merges such columns (Cochran).
const MIN_EXPECTED: f64 = 5.0;

/// Two rows of counts, reference and current, without columns that are empty in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    columns: Vec<[u64; 2]>,
}

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chi2 {
    /// χ².
    pub statistic: f64,
    /// The chance of a χ² as large when both rows come from one distribution.
    pub p: f64,
    /// Degrees of freedom.
    pub dof: usize,
    /// Cramér's V, 0 to 1: the effect, whatever the size of the samples.
    pub cramers_v: f64,
}

impl Table {
    /// Of counts by category; a shorter row has none of the categories beyond its end.
    pub fn new(reference: &[u64], current: &[u64]) -> Self {
        let at = |row: &[u64], index: usize| row.get(index).copied().unwrap_or(0);
        let columns = (0..reference.len().max(current.len())).map(|i| [at(reference, i), at(current, i)]);
        Self { columns: columns.filter(|column| *column != [0, 0]).collect() }
    }

    /// Merges the two columns that are smallest (by total, then by reference) until no expected count is below 5, or
    /// two columns are left.
    #[must_use]
    pub fn pooled(mut self) -> Self {
        let size = |column: &[u64; 2]| (column[0] + column[1], column[0]);
        // Largest first, so that the smallest are at the end.
        self.columns.sort_by_key(|column| std::cmp::Reverse(size(column)));
        let [reference, current] = self.rows();
        let total = (reference + current) as f64;
        let share = reference.min(current) as f64 / total;
        while let [.., next, smallest] = self.columns[..]
            && self.columns.len() > 2
            && size(&smallest).0 as f64 * share < MIN_EXPECTED
        {
            let merged = [next[0] + smallest[0], next[1] + smallest[1]];
            self.columns.truncate(self.columns.len() - 2);
            let place = self.columns.partition_point(|column| size(column) > size(&merged));
            self.columns.insert(place, merged);
        }
        self
    }

    /// How many columns there are.
    pub const fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Pearson's test of independence, both rows being samples. `correction` is Yates's, for two columns. One column
    /// cannot differ: χ² is 0 and p is 1.
    ///
    /// # Errors
    /// [`Lack::NoReference`] or [`Lack::InsufficientData`] where a row is empty.
    pub fn test(&self, correction: bool) -> Result<Chi2, Lack> {
        let rows = self.rows();
        totals(&rows[..1], &rows[1..])?;
        let total = rows[0] as f64 + rows[1] as f64;
        let dof = self.columns.len() - 1;
        let mut statistic = 0.0;
        for column in &self.columns {
            let share = (column[0] + column[1]) as f64 / total;
            for (observed, row) in column.iter().zip(rows) {
                let expected = row as f64 * share;
                let mut distance = (*observed as f64 - expected).abs();
                if correction && dof == 1 {
                    distance -= distance.min(0.5);
                }
                statistic += distance * distance / expected;
            }
        }
        if dof == 0 {
            statistic = 0.0;
        }
        let p = tails::chi2_sf(statistic, dof as f64);
        Ok(Chi2 { statistic, p, dof, cramers_v: (statistic / total).sqrt() })
    }

    fn rows(&self) -> [u64; 2] {
        self.columns.iter().fold([0, 0], |sum, column| [sum[0] + column[0], sum[1] + column[1]])
    }
}

/// The test of drift: rare categories pooled, no correction. A category that the reference does not have is a column
/// like others.
///
/// # Errors
/// As [`Table::test`].
pub fn drift(reference: &[u64], current: &[u64]) -> Result<Chi2, Lack> {
    Table::new(reference, current).pooled().test(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_row_is_a_lack_and_one_column_is_no_drift() {
        assert_eq!(drift(&[], &[1, 2]), Err(Lack::NoReference));
        assert_eq!(drift(&[0, 0], &[0, 0]), Err(Lack::NoReference));
        assert_eq!(drift(&[1, 2], &[0, 0]), Err(Lack::InsufficientData));
        let same = drift(&[0, 9], &[0, 4]).unwrap();
        assert_eq!((same.statistic, same.p, same.dof, same.cramers_v), (0.0, 1.0, 0, 0.0));
    }

    #[test]
    fn rare_columns_are_merged_from_the_smallest_up() {
        // Expected counts of the smaller row are half of these columns: 50, 4.5, 3, 2.
        let table = Table::new(&[50, 4, 3, 2], &[50, 5, 3, 2]).pooled();
        assert_eq!(table.columns, [[50, 50], [9, 10]]);
        // Of equal totals the one with the smaller reference goes first.
        let table = Table::new(&[100, 0, 1, 8, 5], &[100, 8, 7, 0, 4]).pooled();
        assert_eq!(table.columns, [[100, 100], [13, 4], [1, 15]]);
    }

    proptest! {
        #[test]
        fn categories_in_another_order_and_rows_swapped_change_nothing(
            counts in prop::collection::vec((0..60_u64, 0..60_u64), 2..12)
        ) {
            let (mut x, mut y): (Vec<u64>, Vec<u64>) = counts.into_iter().unzip();
            x[0] += 1;
            y[1] += 1;
            let here = Table::new(&x, &y).test(false).unwrap();
            let swapped = Table::new(&y, &x).test(false).unwrap();
            let pooled = drift(&x, &y).unwrap();
            x.reverse();
            y.reverse();
            let turned = drift(&x, &y).unwrap();
            prop_assert!((here.statistic - swapped.statistic).abs() <= 1e-9 * here.statistic);
            prop_assert!((pooled.statistic - turned.statistic).abs() <= 1e-9 * pooled.statistic && pooled.dof == turned.dof);
            prop_assert!((0.0..=1.0).contains(&pooled.p) && (0.0..=1.0 + 1e-12).contains(&pooled.cramers_v));
            prop_assert!(pooled.dof <= here.dof);
        }
    }
}
