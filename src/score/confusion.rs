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

const METRICS: [Metric; 5] = [
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

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.cells().for_each(|(truth, predicted, rows)| tally.add(truth.into(), predicted.into(), rows));
        tally
    }

    fn accuracy(&self, rows: u64) -> Option<Estimate> {
        let right = self.cells().filter(|(truth, predicted, _)| truth == predicted);
        share("accuracy", right.map(|(.., rows)| rows).sum(), rows)
    }

    pub(super) fn values(&self) -> Vec<Estimate> {
        let whole = self.tally();
        let Some(accuracy) = self.accuracy(whole.rows()) else { return Vec::new() };
        let value = |(name, metric, _): &Metric| Estimate { name, value: metric(&whole), interval: None };
        std::iter::once(accuracy).chain(METRICS.iter().map(value)).collect()
    }

    pub(super) fn estimates(&self) -> Vec<Estimate> {
        let mut left = self.tally();
        let rows = left.rows();
        let Some(accuracy) = self.accuracy(rows) else { return Vec::new() };
        let whole = METRICS.map(|(_, metric, _)| metric(&left));
        // The jackknife (Efron and Stein, 1981), which leaves out each row once: those of a cell are alike.
        let parts: Vec<(f64, [f64; METRICS.len()])> = self
            .cells()
            .map(|(truth, predicted, rows)| {
                left.remove(truth.into(), predicted.into());
                let values = METRICS.map(|(_, metric, _)| metric(&left));
                left.add(truth.into(), predicted.into(), 1);
                (rows as f64, values)
            })
            .collect();
        let others = METRICS.iter().enumerate().map(|(at, (name, _, ends))| {
            let n = rows as f64;
            let middle = parts.iter().map(|(rows, values)| rows * values[at]).sum::<f64>() / n;
            let spread: f64 = parts.iter().map(|(rows, values)| rows * (values[at] - middle).powi(2)).sum();
            let error = (rows > 1).then(|| (spread * (n - 1.0) / n).sqrt());
            normal(name, whole[at], error, *ends)
        });
        std::iter::once(accuracy).chain(others).collect()
    }
}
