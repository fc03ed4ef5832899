//! Times in classes that are 5 % wide, which add up over replicas.

use super::series::Series;
use crate::stats::ratio;

/// Seconds below this are one class.
const LOWEST: f64 = 1e-6;
/// How much wider each class is than the one before.
const GROWTH: f64 = 1.05;
/// Classes to a factor of e: 1 / ln [`GROWTH`].
const PER_CLASS: f64 = 20.495_934_314_287_85;
/// Classes: the last begins at 100 s.
const CLASSES: usize = 380;

/// How many took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

// === impl Histogram ===

impl Histogram {
    /// Counts one, in seconds.
    #[inline]
    pub fn push(&mut self, seconds: f64) {
        let class = (seconds / LOWEST).ln() * PER_CLASS;
        // Casts saturate: what is below the first class, or no number, is in the first.
        self.add((class.ceil() as usize).min(CLASSES - 1), 1);
    }

    /// Adds to a class.
    pub(super) fn add(&mut self, class: usize, count: u64) {
        if self.0.len() <= class {
            self.0.resize(class + 1, 0);
        }
        self.0[class] += count;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        other.filled().for_each(|(class, count)| self.add(class, count));
    }

    /// Classes with something in them.
    pub(super) fn filled(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The class that holds a quantile; none without anything.
    pub fn class(&self, quantile: f64) -> Option<usize> {
        let rank = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut below = 0;
        self.0.iter().position(|count| {
            below += count;
            below >= rank
        })
    }

    /// How many are in classes above one.
    pub fn above(&self, class: usize) -> u64 {
        self.0.iter().skip(class + 1).sum()
    }

    /// How much larger the variance of the mean time is between buckets of units than that of independent requests; never
    /// less than 1.
    pub fn dispersion(&self, seconds: &Series) -> f64 {
        let count = self.count() as f64;
        let all = |power: i32| {
            let part = |(class, count): (usize, u64)| count as f64 * Self::end(class).powi(power);
            self.filled().map(part).sum::<f64>()
        };
        let independent = (all(2) - all(1).powi(2) / count) / count / count;
        match ratio::ratio(&seconds.joint()) {
            Ok(found) if independent > 0.0 => (found.standard_error.powi(2) / independent).max(1.0),
            _ => 1.0,
        }
    }

    /// The upper end of a class, in seconds.
    pub fn end(class: usize) -> f64 {
        LOWEST * GROWTH.powi(class as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_five_percent_near_and_merge() {
        let times: Vec<f64> = (1..=1000).map(|i| f64::from(i) * 1e-5).collect();
        let mut parts = [Histogram::default(), Histogram::default()];
        times.iter().enumerate().for_each(|(at, time)| parts[at % 2].push(*time));
        let [mut all, rest] = parts;
        all.merge(&rest);
        for (quantile, exact) in [(0.5, 500e-5), (0.99, 990e-5), (1.0, 1000e-5)] {
            let class = all.class(quantile).unwrap();
            let near = Histogram::end(class) / exact;
            assert!((1.0 - 1e-9..1.0501).contains(&near), "{quantile}: {near}");
        }
        assert_eq!((all.count(), all.above(all.class(0.9).unwrap()) <= 100), (1000, true));
        let mut odd = Histogram::default();
        [0.0, -1.0, f64::NAN, 1e9].into_iter().for_each(|time| odd.push(time));
        assert_eq!((odd.count(), odd.above(0), Histogram::default().class(0.5)), (4, 1, None));
    }
}
