//! How often each class was taken for each other.

use std::collections::BTreeMap;

use super::estimate::{Estimate, normal, share};
use super::sums::step;
use super::tally::{Average, Tally};

/// Rows by true and by predicted class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion(BTreeMap<(u8, u8), u64>);

/// A metric of a tally, by name, and the ends that it cannot leave.
type Metric = (&'static str, fn(&Tally) -> f64, [f64; 2]);

const METRICS: &[Metric] = &[
    ("precision", |tally| tally.precision(Average::Weighted), [0.0, 1.0]),
    ("recall", |tally| tally.recall(Average::Weighted), [0.0, 1.0]),
    ("f1", |tally| tally.f1(Average::Weighted), [0.0, 1.0]),
    ("balanced_accuracy", Tally::balanced_accuracy, [0.0, 1.0]),
    ("matthews", Tally::matthews, [-1.0, 1.0]),
];

// === impl Confusion ===

impl Confusion {
    pub(super) fn count(&mut self, truth: u8, predicted: u8, more: bool) {
        let cell = self.0.entry((truth, predicted)).or_default();
        step(cell, more);
        if *cell == 0 {
            self.0.remove(&(truth, predicted));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(cell, rows)| *self.0.entry(*cell).or_default() += rows);
    }

    /// The cells that hold rows: truth, prediction, rows.
    pub fn cells(&self) -> impl Iterator<Item = (u8, u8, u64)> {
        self.0.iter().map(|((truth, predicted), rows)| (*truth, *predicted, *rows))
    }

    fn tally(&self, without: Option<(u8, u8)>) -> Tally {
        let mut tally = Tally::default();
        for (truth, predicted, rows) in self.cells() {
            let rows = rows - u64::from(without == Some((truth, predicted)));
            tally.add(truth.into(), predicted.into(), rows);
        }
        tally
    }

    pub(super) fn estimates(&self) -> Vec<Estimate> {
        let whole = self.tally(None);
        let rows = whole.rows();
        let hits =
            self.cells().filter(|(truth, predicted, _)| truth == predicted).map(|(.., rows)| rows).sum();
        let Some(accuracy) = share("accuracy", hits, rows) else { return Vec::new() };
        let parts: Vec<(f64, Tally)> = self
            .cells()
            .map(|(truth, predicted, rows)| (rows as f64, self.tally(Some((truth, predicted)))))
            .collect();
        let others = METRICS.iter().map(|(name, metric, ends)| {
            // The jackknife (Efron and Stein, 1981), which leaves out each row once: those of a cell are alike.
            let n = rows as f64;
            let left: Vec<(f64, f64)> = parts.iter().map(|(rows, part)| (*rows, metric(part))).collect();
            let middle = left.iter().map(|(rows, value)| rows * value).sum::<f64>() / n;
            let spread = left.iter().map(|(rows, value)| rows * (value - middle).powi(2)).sum::<f64>();
            let error = (rows > 1).then(|| (spread * (n - 1.0) / n).sqrt());
            normal(name, metric(&whole), error, *ends)
        });
        std::iter::once(accuracy).chain(others).collect()
    }
}
