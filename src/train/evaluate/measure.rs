//! All metrics of a task in one pass over rows that count differently: resamples are weights, no rows are copied.

mod binary;
mod multiclass;
mod regression;

pub(super) use binary::GROUPS;

use super::predictions::Predictions;
use crate::table::Task;

/// What is computed of predictions, as often as other weights are given.
pub(super) trait Measure: Sync {
    /// Appends the metrics of the task, in the order of its table; NaN where one is not defined.
    fn values(&self, weight: &[f64], out: &mut Vec<f64>);
}

/// Everything that does not depend on weights, computed once.
pub(super) fn prepare(predictions: &Predictions, threshold: f64) -> Box<dyn Measure> {
    match predictions.task() {
        Task::Regression => Box::new(regression::Regression::new(predictions)),
        Task::Binary => Box::new(binary::Binary::new(predictions, threshold)),
        Task::Multiclass { .. } => Box::new(multiclass::Multiclass::new(predictions)),
    }
}

/// Places of rows by what `key` says, ascending.
fn order(rows: usize, key: impl Fn(usize) -> f64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.sort_by(|a, b| key(*a as usize).total_cmp(&key(*b as usize)));
    order
}

/// 0 where there is nothing to divide by, as in scikit-learn.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// What of the mass was found, class by class.
struct Shares {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    both: Vec<f64>,
}

impl Shares {
    /// Of a matrix of masses by truth and, within it, prediction.
    fn of(matrix: &[f64], classes: usize) -> Self {
        let mut shares =
            Self { truth: vec![0.0; classes], predicted: vec![0.0; classes], both: vec![0.0; classes] };
        for (truth, row) in matrix.chunks_exact(classes).enumerate() {
            for (predicted, mass) in row.iter().enumerate() {
                shares.truth[truth] += mass;
                shares.predicted[predicted] += mass;
                shares.both[truth] += if truth == predicted { *mass } else { 0.0 };
            }
        }
        shares
    }

    fn total(&self) -> f64 {
        self.truth.iter().sum()
    }

    fn accuracy(&self) -> f64 {
        self.both.iter().sum::<f64>() / self.total()
    }

    fn precision(&self, class: usize) -> f64 {
        ratio(self.both[class], self.predicted[class])
    }

    fn recall(&self, class: usize) -> f64 {
        ratio(self.both[class], self.truth[class])
    }

    fn f1(&self, class: usize) -> f64 {
        ratio(2.0 * self.both[class], self.truth[class] + self.predicted[class])
    }

    /// The mean over classes by how often they come.
    fn weighted(&self, of: impl Fn(usize) -> f64) -> f64 {
        self.truth.iter().enumerate().map(|(class, mass)| mass * of(class)).sum::<f64>() / self.total()
    }

    /// The mean over classes that come or are predicted.
    fn macro_mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        let seen = |class: &usize| self.truth[*class] + self.predicted[*class] > 0.0;
        let (sum, count) = (0..self.truth.len())
            .filter(seen)
            .fold((0.0, 0.0), |(sum, count), class| (sum + of(class), count + 1.0));
        sum / count
    }

    fn balanced_accuracy(&self) -> f64 {
        let come = self.truth.iter().filter(|mass| **mass > 0.0).count();
        (0..self.truth.len()).map(|class| self.recall(class)).sum::<f64>() / come as f64
    }

    /// Matthews's correlation (Gorodkin's for many classes); 0 where truth or prediction does not vary.
    fn matthews(&self) -> f64 {
        let total = self.total();
        let squares = |masses: &[f64]| masses.iter().map(|mass| mass * mass).sum::<f64>();
        let shared: f64 =
            self.truth.iter().zip(&self.predicted).map(|(truth, predicted)| truth * predicted).sum();
        let spread = (total * total - squares(&self.truth)) * (total * total - squares(&self.predicted));
        if spread > 0.0 { (self.both.iter().sum::<f64>() * total - shared) / spread.sqrt() } else { 0.0 }
    }
}
