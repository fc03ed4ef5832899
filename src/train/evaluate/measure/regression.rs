//! Metrics of numbers.

use super::{Measure, order};
use crate::evaluate::metric::Loss;
use crate::evaluate::predictions::Predictions;

/// A row, in the order of absolute errors, which the median needs.
struct Row {
    at: u32,
    /// Truth, from the mean truth: squares of what is left cancel less.
    truth: f64,
    error: f64,
    /// NaN where the truth is 0: such rows are no part of its mean.
    relative: f64,
    symmetric: f64,
    pinball: f64,
}

pub(super) struct Regression(Vec<Row>);

impl Regression {
    pub(super) fn new(predictions: &Predictions) -> Self {
        let truth = predictions.truth();
        let centre = truth.iter().sum::<f64>() / truth.len() as f64;
        let losses = [Loss::Relative, Loss::Symmetric, Loss::Pinball].map(|loss| predictions.losses(loss));
        let error = |at: usize| truth[at] - predictions.scores()[at];
        let row = |place: u32| {
            let at = place as usize;
            let [relative, symmetric, pinball] = losses.each_ref().map(|losses| losses[at]);
            Row { at: place, truth: truth[at] - centre, error: error(at), relative, symmetric, pinball }
        };
        Self(order(truth.len(), |at| error(at).abs()).into_iter().map(row).collect())
    }

    /// The middle of the absolute errors; the mean of two where half of the mass ends between them.
    fn median(&self, weight: &[f64], total: f64) -> f64 {
        let (mut sum, mut edge) = (0.0, None);
        for row in &self.0 {
            let mass = weight[row.at as usize];
            if mass <= 0.0 {
                continue;
            }
            let error = row.error.abs();
            if let Some(below) = edge {
                return f64::midpoint(below, error);
            }
            sum += mass;
            if sum > total / 2.0 {
                return error;
            }
            if sum == total / 2.0 {
                edge = Some(error);
            }
        }
        f64::NAN
    }
}

impl Measure for Regression {
    fn values(&self, weight: &[f64], out: &mut Vec<f64>) {
        let [mut n, mut truth, mut truths, mut error, mut errors, mut absolute] = [0.0; 6];
        let [mut relative, mut related, mut symmetric, mut pinball, mut rows] = [0.0; 5];
        for row in &self.0 {
            let w = weight[row.at as usize];
            n += w;
            rows += if w > 0.0 { 1.0 } else { 0.0 };
            truth += w * row.truth;
            truths += w * row.truth * row.truth;
            error += w * row.error;
            errors += w * row.error * row.error;
            absolute += w * row.error.abs();
            if !row.relative.is_nan() {
                relative += w * row.relative;
                related += w;
            }
            symmetric += w * row.symmetric;
            pinball += w * row.pinball;
        }
        let mse = errors / n;
        // Less than what rounding leaves of a constant is a constant.
        let spread = truths / n - (truth / n).powi(2);
        let spread = if spread > 1e-14 * truths / n { spread } else { 0.0 };
        let explained = |unexplained: f64| match (unexplained == 0.0, spread == 0.0) {
            (true, true) => 1.0,
            (false, true) => 0.0,
            _ => 1.0 - unexplained / spread,
        };
        out.extend([
            mse.sqrt(),
            absolute / n,
            mse,
            if rows > 1.0 { explained(mse) } else { f64::NAN },
            relative / related,
            symmetric / n,
            self.median(weight, n),
            explained(mse - (error / n).powi(2)),
            pinball / n,
        ]);
    }
}
