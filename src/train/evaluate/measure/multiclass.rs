//! Metrics of more than two classes.

use super::{Measure, Shares, order};
use crate::evaluate::metric::Loss;
use crate::evaluate::predictions::Predictions;

pub(super) struct Multiclass {
    classes: usize,
    truth: Vec<u32>,
    predicted: Vec<u32>,
    log_loss: Vec<f64>,
    /// By class, rows from the least likely on, and whether the next is more likely.
    orders: Vec<Vec<(u32, bool)>>,
}

impl Multiclass {
    pub(super) fn new(predictions: &Predictions) -> Self {
        let (classes, rows) = (predictions.width(), predictions.rows());
        let ordered = |class: usize| {
            let score = |at: usize| predictions.scores()[at * classes + class];
            let order = order(rows, score);
            let next = order.iter().skip(1).map(|at| Some(score(*at as usize))).chain([None]);
            order.iter().zip(next).map(|(at, next)| (*at, next != Some(score(*at as usize)))).collect()
        };
        Self {
            classes,
            truth: predictions.truth().iter().map(|truth| *truth as u32).collect(),
            predicted: predictions.classes(0.5).into_iter().map(|class| class as u32).collect(),
            log_loss: predictions.losses(Loss::Log),
            orders: (0..classes).map(ordered).collect(),
        }
    }

    /// The area under the ROC curve of one class against the others; NaN where it never comes, or always.
    fn auc(&self, class: usize, weight: &[f64]) -> f64 {
        let (mut below, mut all, mut wins, mut tied) = (0.0, 0.0, 0.0, [0.0; 2]);
        for (at, last) in &self.orders[class] {
            let at = *at as usize;
            tied[usize::from(self.truth[at] as usize == class)] += weight[at];
            if *last {
                wins += tied[1] * (below + tied[0] / 2.0);
                below += tied[0];
                all += tied[1];
                tied = [0.0; 2];
            }
        }
        if below > 0.0 && all > 0.0 { wins / (below * all) } else { f64::NAN }
    }
}

impl Measure for Multiclass {
    fn values(&self, weight: &[f64], out: &mut Vec<f64>) {
        let (mut matrix, mut log_loss) = (vec![0.0; self.classes * self.classes], 0.0);
        let rows = self.truth.iter().zip(&self.predicted).zip(&self.log_loss).zip(weight);
        for (((truth, predicted), loss), w) in rows {
            matrix[*truth as usize * self.classes + *predicted as usize] += w;
            log_loss += w * loss;
        }
        let shares = Shares::of(&matrix, self.classes);
        let auc = (0..self.classes).map(|class| self.auc(class, weight)).sum::<f64>() / self.classes as f64;
        out.extend([
            shares.accuracy(),
            shares.balanced_accuracy(),
            shares.macro_mean(|class| shares.precision(class)),
            shares.macro_mean(|class| shares.recall(class)),
            shares.macro_mean(|class| shares.f1(class)),
            shares.weighted(|class| shares.precision(class)),
            shares.weighted(|class| shares.recall(class)),
            shares.weighted(|class| shares.f1(class)),
            shares.matthews(),
            auc,
            log_loss / shares.total(),
        ]);
    }
}
