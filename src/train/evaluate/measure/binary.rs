//! Metrics of two classes and the probability of the second.

use super::{Measure, Shares, order};
use crate::evaluate::metric::Loss;
use crate::evaluate::predictions::{Predictions, is_second};

/// Groups of equally wide probabilities that calibration is told by, as many as the monitor's.
pub(in crate::evaluate) const GROUPS: usize = 16;

/// A row, in the order of falling probabilities.
struct Row {
    at: u32,
    score: f64,
    second: bool,
    /// Whether it is taken for the second class.
    taken: bool,
    /// Whether the next row has another probability.
    last: bool,
    group: u8,
    log_loss: f64,
    brier: f64,
}

pub(super) struct Binary {
    rows: Vec<Row>,
}

/// The group of calibration of a probability.
pub(super) fn group(score: f64) -> usize {
    ((score.max(0.0) * GROUPS as f64) as usize).min(GROUPS - 1)
}

impl Binary {
    pub(super) fn new(predictions: &Predictions, threshold: f64) -> Self {
        let scores = predictions.scores();
        let [log_loss, brier] = [Loss::Log, Loss::Brier].map(|loss| predictions.losses(loss));
        let order = order(scores.len(), |at| -scores[at]);
        let score = |place: u32| scores[place as usize];
        let next = order.iter().skip(1).map(|place| Some(score(*place))).chain([None]);
        let row = |(place, next): (&u32, Option<f64>)| Row {
            at: *place,
            score: score(*place),
            second: predictions.truth()[*place as usize] > 0.0,
            taken: is_second(score(*place), threshold),
            last: next != Some(score(*place)),
            group: group(score(*place)) as u8,
            log_loss: log_loss[*place as usize],
            brier: brier[*place as usize],
        };
        Self { rows: order.iter().zip(next).map(row).collect() }
    }
}

impl Measure for Binary {
    fn values(&self, weight: &[f64], out: &mut Vec<f64>) {
        // Masses above the present probability, and of those that share it.
        let ([mut above, mut tied], mut matrix) = ([[0.0; 2]; 2], [0.0; 4]);
        let [mut wins, mut area, mut log_loss, mut brier] = [0.0; 4];
        let mut groups = [[0.0; 2]; GROUPS];
        for row in &self.rows {
            let w = weight[row.at as usize];
            let class = usize::from(row.second);
            tied[class] += w;
            matrix[2 * class + usize::from(row.taken)] += w;
            log_loss += w * row.log_loss;
            brier += w * row.brier;
            let group = &mut groups[usize::from(row.group)];
            group[0] += w * row.score;
            group[1] += if row.second { w } else { 0.0 };
            if row.last {
                wins += tied[0] * (above[1] + tied[1] / 2.0);
                above = [above[0] + tied[0], above[1] + tied[1]];
                if tied[1] > 0.0 {
                    area += tied[1] * above[1] / (above[0] + above[1]);
                }
                tied = [0.0; 2];
            }
        }
        let [first, second] = above;
        let n = first + second;
        let ece = groups.iter().map(|[predicted, seen]| (predicted - seen).abs()).sum::<f64>() / n;
        let both = if first > 0.0 && second > 0.0 { wins / (first * second) } else { f64::NAN };
        let shares = Shares::of(&matrix, 2);
        out.extend([
            shares.accuracy(),
            shares.balanced_accuracy(),
            shares.precision(1),
            shares.recall(1),
            shares.f1(1),
            shares.weighted(|class| shares.precision(class)),
            shares.weighted(|class| shares.recall(class)),
            shares.weighted(|class| shares.f1(class)),
            shares.matthews(),
            both,
            if second > 0.0 { area / second } else { f64::NAN },
            log_loss / n,
            brier / n,
            ece,
        ]);
    }
}
