//! What makes a split good: values that lie close together, or rows of one class.

use crate::learner::builtin::matrix::Cells;
use crate::table::Task;

/// Sums of rows, kept as slices of numbers of which the first counts rows.
pub(super) trait Criterion: Sync {
    /// Numbers per sum.
    fn stride(&self) -> usize;

    /// Adds a row that was drawn so often.
    fn add(&self, sum: &mut [f64], row: u32, times: f64);

    /// What a leaf of these rows takes off the loss; splits are chosen by the sum over both sides.
    fn worth(&self, sum: &[f64]) -> f64;

    /// Whether all rows are alike, so that nothing is left to split.
    fn pure(&self, sum: &[f64], worth: f64) -> bool;

    /// What rows weigh together.
    fn weight(&self, sum: &[f64]) -> f64;

    /// What categories are sorted by.
    fn slope(&self, sum: &[f64], whole: &[f64]) -> f64;

    /// What a leaf answers.
    fn answer(&self, sum: &[f64]) -> Vec<f32>;

    /// Numbers per answer.
    fn outputs(&self) -> usize;

    /// The name of the metric below.
    fn metric_name(&self) -> &'static str;

    /// How good answers are, of which so many were added up.
    fn metric(&self, cells: &Cells, sums: &[f32], trees: f32) -> f64;
}

/// Least squares; also for two classes, where the mean is a share and least squares are Gini's impurity.
pub(super) struct Mean<'a> {
    cells: &'a Cells,
    shares: bool,
}

/// Gini's impurity of several classes.
pub(super) struct Classes<'a> {
    cells: &'a Cells,
    classes: usize,
}

/// The smallest probability whose logarithm is taken; scikit-learn takes float32's epsilon for such numbers.
const LEAST_SHARE: f64 = f32::EPSILON as f64;

impl<'a> Mean<'a> {
    pub(super) fn new(cells: &'a Cells, task: Task) -> Self {
        Self { cells, shares: task == Task::Binary }
    }
}

impl<'a> Classes<'a> {
    pub(super) fn new(cells: &'a Cells, classes: usize) -> Self {
        Self { cells, classes }
    }
}

impl Criterion for Mean<'_> {
    fn stride(&self) -> usize {
        4
    }

    #[inline]
    fn add(&self, sum: &mut [f64], row: u32, times: f64) {
        let weight = self.cells.weight(row as usize) * times;
        let target = f64::from(self.cells.target[row as usize]);
        if let [count, weights, targets, squares] = sum {
            *count += 1.0;
            *weights += weight;
            *targets += weight * target;
            *squares += weight * target * target;
        }
    }

    #[inline]
    fn worth(&self, sum: &[f64]) -> f64 {
        if sum[1] > 0.0 { sum[2] * sum[2] / sum[1] } else { 0.0 }
    }

    fn pure(&self, sum: &[f64], worth: f64) -> bool {
        sum[3] - worth <= 1e-14 * sum[3]
    }

    fn weight(&self, sum: &[f64]) -> f64 {
        sum[1]
    }

    fn slope(&self, sum: &[f64], _: &[f64]) -> f64 {
        if sum[1] > 0.0 { sum[2] / sum[1] } else { 0.0 }
    }

    fn answer(&self, sum: &[f64]) -> Vec<f32> {
        vec![self.slope(sum, sum) as f32]
    }

    fn outputs(&self) -> usize {
        1
    }

    fn metric_name(&self) -> &'static str {
        if self.shares { "log_loss" } else { "rmse" }
    }

    fn metric(&self, cells: &Cells, sums: &[f32], trees: f32) -> f64 {
        let answers =
            sums.iter().zip(&cells.target).map(|(sum, target)| (f64::from(sum / trees), f64::from(*target)));
        let each = answers.enumerate().map(|(row, (answer, target))| {
            let loss = if self.shares {
                -(1.0 - (target - answer).abs()).max(LEAST_SHARE).ln()
            } else {
                (target - answer) * (target - answer)
            };
            loss * cells.weight(row)
        });
        let mean = each.sum::<f64>() / total(cells);
        if self.shares { mean } else { mean.sqrt() }
    }
}

impl Criterion for Classes<'_> {
    fn stride(&self) -> usize {
        2 + self.classes
    }

    #[inline]
    fn add(&self, sum: &mut [f64], row: u32, times: f64) {
        let weight = self.cells.weight(row as usize) * times;
        sum[0] += 1.0;
        sum[1] += weight;
        sum[2 + self.cells.target[row as usize] as usize] += weight;
    }

    fn worth(&self, sum: &[f64]) -> f64 {
        if sum[1] > 0.0 { sum[2..].iter().map(|class| class * class).sum::<f64>() / sum[1] } else { 0.0 }
    }

    fn pure(&self, sum: &[f64], worth: f64) -> bool {
        sum[1] - worth <= 1e-14 * sum[1]
    }

    fn weight(&self, sum: &[f64]) -> f64 {
        sum[1]
    }

    /// The share of the class that is the most frequent on the whole.
    fn slope(&self, sum: &[f64], whole: &[f64]) -> f64 {
        let most = (2..whole.len()).reduce(|a, b| if whole[b] > whole[a] { b } else { a }).unwrap_or(0);
        if sum[1] > 0.0 { sum[most] / sum[1] } else { 0.0 }
    }

    fn answer(&self, sum: &[f64]) -> Vec<f32> {
        let share = |class: &f64| if sum[1] > 0.0 { class / sum[1] } else { 1.0 / self.classes as f64 };
        sum[2..].iter().map(|class| share(class) as f32).collect()
    }

    fn outputs(&self) -> usize {
        self.classes
    }

    fn metric_name(&self) -> &'static str {
        "log_loss"
    }

    fn metric(&self, cells: &Cells, sums: &[f32], trees: f32) -> f64 {
        let each = sums.chunks_exact(self.classes).enumerate().map(|(row, sums)| {
            let right = f64::from(sums[cells.target[row] as usize] / trees);
            -right.max(LEAST_SHARE).ln() * cells.weight(row)
        });
        each.sum::<f64>() / total(cells)
    }
}

fn total(cells: &Cells) -> f64 {
    (0..cells.rows()).map(|row| cells.weight(row)).sum()
}
