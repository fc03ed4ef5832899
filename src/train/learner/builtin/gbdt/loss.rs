//! Losses: where scores start, and in which direction rows pull them.

use sidegate::booster::Transform;

use super::gradients::{Gradients, Scale, Sum};
use crate::learner::builtin::matrix::Cells;
use crate::learner::builtin::threads;

/// Rows that are summed together; fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 8192;
/// LightGBM's bound of shares before their logarithm.
const LEAST_SHARE: f64 = 1e-15;

#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    Squares,
    Absolute,
    Quantile(f64),
    /// Rows of the second class count so much more.
    Logistic {
        positive: f64,
    },
    Softmax {
        classes: usize,
    },
}

/// A product of shares below this is not multiplied further: with another of [`LEAST_SHARE`] it would lose digits.
const LEAST_PRODUCT: f64 = 1e-250;

/// A chunk of rows, where their gradients go by score, and their summed loss.
type Slot<'a> = (usize, usize, Vec<&'a mut [Sum]>, f64);

/// A loss that is summed up. Of shares that count once it is the logarithm of the product: one for hundreds of rows.
struct Tally {
    loss: f64,
    product: f64,
}

impl Tally {
    #[inline]
    fn share(&mut self, share: f64, weight: f64) {
        let share = share.max(LEAST_SHARE);
        if weight != 1.0 {
            self.loss -= share.ln() * weight;
            return;
        }
        self.product *= share;
        if self.product < LEAST_PRODUCT {
            *self = Self { loss: self.total(), product: 1.0 };
        }
    }

    fn total(&self) -> f64 {
        self.loss - self.product.ln()
    }
}

impl Loss {
    /// Scores of a row.
    pub(super) fn targets(self) -> usize {
        if let Self::Softmax { classes } = self { classes } else { 1 }
    }

    pub(super) fn transform(self) -> Transform {
        match self {
            Self::Squares | Self::Absolute | Self::Quantile(_) => Transform::Identity,
            Self::Logistic { .. } => Transform::Logistic { slope: 1.0 },
            Self::Softmax { .. } => Transform::Softmax,
        }
    }

    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Squares => "rmse",
            Self::Absolute => "mae",
            Self::Quantile(_) => "pinball_loss",
            Self::Logistic { .. } | Self::Softmax { .. } => "log_loss",
        }
    }

    /// The share of rows that should lie below a leaf's value, where that is what leaves are.
    pub(super) fn quantile(self) -> Option<f64> {
        match self {
            Self::Absolute => Some(0.5),
            Self::Quantile(alpha) => Some(alpha),
            _ => None,
        }
    }

    /// What a row counts with this loss.
    pub(super) fn weight(self, cells: &Cells, row: usize) -> f64 {
        match self {
            Self::Logistic { positive } if cells.target[row] == 1.0 => cells.weight(row) * positive,
            _ => cells.weight(row),
        }
    }

    /// What all rows count, and the most that one does.
    fn weights(self, cells: &Cells) -> [f64; 2] {
        let all_count_one =
            cells.weight.is_none() && !matches!(self, Self::Logistic { positive } if positive != 1.0);
        if all_count_one {
            return [cells.rows() as f64, 1.0];
        }
        let weights = (0..cells.rows()).map(|row| self.weight(cells, row));
        weights.fold([0.0, 0.0], |[sum, most], weight| [sum + weight, f64::max(most, weight)])
    }

    /// The best constant scores.
    pub(super) fn start(self, cells: &Cells) -> Vec<f64> {
        let rows = || 0..cells.rows();
        let total: f64 = rows().map(|row| self.weight(cells, row)).sum();
        let share = |class: f32| {
            let of_class = rows().filter(|row| cells.target[*row] == class);
            let weight: f64 = of_class.map(|row| self.weight(cells, row)).sum();
            (weight / total).clamp(LEAST_SHARE, 1.0 - LEAST_SHARE)
        };
        match self {
            Self::Squares => {
                vec![
                    rows().map(|row| self.weight(cells, row) * f64::from(cells.target[row])).sum::<f64>()
                        / total,
                ]
            }
            Self::Absolute | Self::Quantile(_) => {
                let mut values: Vec<(f64, f64)> =
                    rows().map(|row| (cells.target[row].into(), cells.weight(row))).collect();
                vec![percentile(&mut values, self.quantile().unwrap_or(0.5), cells.weight.is_some())]
            }
            Self::Logistic { .. } => vec![(share(1.0) / (1.0 - share(1.0))).ln()],
            Self::Softmax { classes } => (0..classes).map(|class| share(class as f32).ln()).collect(),
        }
    }

    /// Room for gradients of these rows.
    pub(super) fn room(self, cells: &Cells) -> Vec<Gradients> {
        let scale = Scale::new(cells.rows(), 1.0, None);
        let one = || Gradients { scale, rows: vec![Sum::default(); cells.rows()] };
        (0..self.targets()).map(|_| one()).collect()
    }

    /// Whether every row's second derivative is 1.
    fn is_flat(self, cells: &Cells) -> bool {
        cells.weight.is_none() && !matches!(self, Self::Logistic { .. } | Self::Softmax { .. })
    }

    /// Computes the gradients at these scores, and the mean loss there.
    pub(super) fn differentiate(
        self,
        cells: &Cells,
        scores: &[f32],
        out: &mut [Gradients],
        threads: usize,
    ) -> f64 {
        let rows = cells.rows();
        let [total, most] = self.weights(cells);
        let flat = self.is_flat(cells);
        let gradients = match self {
            // Nothing else bounds the sum of sizes.
            Self::Squares => {
                let size =
                    |row: usize| f64::from((scores[row] - cells.target[row]).abs()) * self.weight(cells, row);
                (0..rows).map(size).sum()
            }
            _ => total,
        };
        let curve = match self {
            Self::Logistic { .. } => 0.25,
            // A quarter times a factor of at most 2.
            Self::Softmax { .. } => 0.5,
            _ => 1.0,
        };
        let scale = Scale::new(rows, gradients, (!flat).then_some([total * curve, most * curve]));
        out.iter_mut().for_each(|gradients| gradients.scale = scale);
        self.walk(cells, scores, out, scale, threads) / total
    }

    /// The mean loss alone.
    pub(super) fn mean(self, cells: &Cells, scores: &[f32], threads: usize) -> f64 {
        let [total, _] = self.weights(cells);
        self.walk(cells, scores, &mut [], Scale::new(1, 1.0, None), threads) / total
    }

    /// As people read it.
    pub(super) fn shown(self, mean: f64) -> f64 {
        if matches!(self, Self::Squares) { mean.sqrt() } else { mean }
    }

    fn walk(self, cells: &Cells, scores: &[f32], out: &mut [Gradients], scale: Scale, threads: usize) -> f64 {
        let rows = cells.rows();
        let mut slots: Vec<Slot<'_>> = (0..rows)
            .step_by(CHUNK)
            .map(|start| (start, rows.min(start + CHUNK), Vec::with_capacity(out.len()), 0.0))
            .collect();
        for gradients in out {
            slots.iter_mut().zip(gradients.rows.chunks_mut(CHUNK)).for_each(|(slot, rows)| slot.2.push(rows));
        }
        threads::each(threads, &mut slots, |(start, end, out, loss)| {
            let (targets, first) = (self.targets(), *start);
            let mut shares = vec![0.0; targets];
            let mut tally = Tally { loss: 0.0, product: 1.0 };
            for row in first..*end {
                let scores = &scores[row * targets..][..targets];
                self.row(cells, row, scores, (&mut shares, &mut tally), |target, gradient, hessian| {
                    if let Some(rows) = out.get_mut(target) {
                        rows[row - first] = scale.row(gradient, hessian);
                    }
                });
            }
            *loss = tally.total();
        });
        slots.iter().map(|(.., loss)| loss).sum()
    }

    /// Adds the loss of a row; `put` gets both derivatives of each score.
    #[inline]
    fn row(
        self,
        cells: &Cells,
        row: usize,
        scores: &[f32],
        (shares, tally): (&mut [f64], &mut Tally),
        mut put: impl FnMut(usize, f64, f64),
    ) {
        let (weight, target) = (self.weight(cells, row), cells.target[row]);
        let off = || f64::from(scores[0]) - f64::from(target);
        match self {
            Self::Squares => {
                put(0, off() * weight, weight);
                tally.loss += off() * off() * weight;
            }
            Self::Absolute | Self::Quantile(_) => {
                let alpha = self.quantile().unwrap_or(0.5);
                let slope = if off() >= 0.0 { 1.0 - alpha } else { -alpha };
                // LightGBM's slopes of absolute errors are 1.
                let slope = if matches!(self, Self::Absolute) { 2.0 * slope } else { slope };
                put(0, slope * weight, weight);
                tally.loss += slope * off() * weight;
            }
            Self::Logistic { .. } => {
                let sign = if target == 1.0 { 1.0 } else { -1.0 };
                // The chance of the class that it is not.
                let wrong = 1.0 / (1.0 + (sign * f64::from(scores[0])).exp());
                put(0, -sign * wrong * weight, wrong * (1.0 - wrong) * weight);
                tally.share(1.0 - wrong, weight);
            }
            Self::Softmax { classes } => {
                let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for (share, score) in shares.iter_mut().zip(scores) {
                    *share = f64::from(score - most).exp();
                    sum += *share;
                }
                let class = target as usize;
                // LightGBM's factor: the scores of a row have one degree of freedom less than their number.
                let factor = classes as f64 / (classes as f64 - 1.0);
                for (at, share) in shares.iter_mut().enumerate() {
                    *share /= sum;
                    let is = f64::from(u8::from(at == class));
                    put(at, (*share - is) * weight, factor * *share * (1.0 - *share) * weight);
                }
                tally.share(shares[class], weight);
            }
        }
    }
}

/// The value below which a share of the values lies, each with its weight; as LightGBM interpolates it.
pub(super) fn percentile(values: &mut [(f64, f64)], share: f64, weighted: bool) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let Some(last) = values.last() else { return 0.0 };
    if weighted {
        let total: f64 = values.iter().map(|(_, weight)| weight).sum();
        let mut below = 0.0;
        let found = values.iter().find(|(_, weight)| {
            below += weight;
            below > total * share
        });
        return found.unwrap_or(last).0;
    }
    // Counted from the largest, as there.
    let place = values.len() as f64 * (1.0 - share);
    let whole = place as usize;
    let descending = |at: usize| values[values.len() - 1 - at].0;
    match whole {
        0 => descending(0),
        _ if whole >= values.len() => descending(values.len() - 1),
        _ => descending(whole - 1) - (descending(whole - 1) - descending(whole)) * (place - whole as f64),
    }
}
