//! Probabilities of the second of two classes by what came: how well they part the two, and whether they are right.

use super::estimate::{Estimate, mean, normal};
use super::sums::shift;
use crate::stats::Reversible;

/// Bins of probabilities, equally wide.
const BINS: usize = 1024;
/// Groups of bins that calibration is told by.
const GROUPS: usize = 16;

/// Counts by probability. What one bin holds is told apart by no threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Rows of the first and of the second class; empty while there are none.
    bins: Vec<[u32; 2]>,
    log_loss: Reversible,
    brier: Reversible,
}

/// Rows with about the same probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// The lowest probability.
    pub from: f64,
    /// The probability above these.
    pub to: f64,
    /// Rows.
    pub rows: u64,
    /// Their mean probability, within 1/2048.
    pub predicted: f64,
    /// The share of the second class.
    pub observed: f64,
}

// === impl Curve ===

impl Curve {
    pub(super) fn count(&mut self, truth: bool, probability: f64, more: bool) {
        self.bins.resize(BINS, [0; 2]);
        let bin = &mut self.bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        let rows = &mut bin[usize::from(truth)];
        *rows = if more { rows.saturating_add(1) } else { rows.saturating_sub(1) };
        let of_truth = if truth { probability } else { 1.0 - probability };
        // scikit-learn keeps probabilities this far from 0 and 1.
        shift(&mut self.log_loss, -of_truth.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln(), more);
        shift(&mut self.brier, (1.0 - of_truth).powi(2), more);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if !other.bins.is_empty() {
            self.bins.resize(BINS, [0; 2]);
        }
        for (bin, other) in self.bins.iter_mut().zip(&other.bins) {
            bin.iter_mut().zip(other).for_each(|(rows, other)| *rows = rows.saturating_add(*other));
        }
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
    }

    /// Whether probabilities are right: those that hold rows, from the lowest on.
    pub fn calibration(&self) -> Vec<Group> {
        let groups = self.bins.chunks(BINS / GROUPS).enumerate().filter_map(|(at, bins)| {
            let rows = |[first, second]: [u32; 2]| u64::from(first) + u64::from(second);
            let all: u64 = bins.iter().map(|bin| rows(*bin)).sum();
            let first = at * BINS / GROUPS;
            let centre = |at: usize| ((first + at) as f64 + 0.5) / BINS as f64;
            let sum: f64 = bins.iter().enumerate().map(|(at, bin)| rows(*bin) as f64 * centre(at)).sum();
            let seen: u64 = bins.iter().map(|[_, second]| u64::from(*second)).sum();
            (all > 0).then(|| Group {
                from: at as f64 / GROUPS as f64,
                to: (at + 1) as f64 / GROUPS as f64,
                rows: all,
                predicted: sum / all as f64,
                observed: seen as f64 / all as f64,
            })
        });
        groups.collect()
    }

    pub(super) fn estimates(&self) -> Vec<Estimate> {
        [self.auc(), mean("log_loss", &self.log_loss), mean("brier", &self.brier), self.ece()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The area under the ROC curve, with the error of Hanley and McNeil (1982) and, on top of it, half the pairs that
    /// one bin holds; none where a class is missing.
    fn auc(&self) -> Option<Estimate> {
        let (mut below, mut wins, mut tied) = (0.0, 0.0, 0.0);
        for [first, second] in self.bins.iter().map(|bin| bin.map(f64::from)) {
            wins += second * (below + first / 2.0);
            tied += first * second;
            below += first;
        }
        let above: f64 = self.bins.iter().map(|[_, second]| f64::from(*second)).sum();
        let pairs = below * above;
        if pairs == 0.0 {
            return None;
        }
        let auc = wins / pairs;
        let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
        let square = auc * (1.0 - auc) + (above - 1.0) * (q1 - auc * auc) + (below - 1.0) * (q2 - auc * auc);
        let mut found = normal("auc", auc, Some((square.max(0.0) / pairs).sqrt()), [0.0, 1.0]);
        let unsure = tied / pairs / 2.0;
        found.interval =
            found.interval.map(|[low, high]| [(low - unsure).max(0.0), (high + unsure).min(1.0)]);
        Some(found)
    }

    /// Expected calibration error (Naeini and others, 2015) over the groups.
    fn ece(&self) -> Option<Estimate> {
        let groups = self.calibration();
        let rows: u64 = groups.iter().map(|group| group.rows).sum();
        let off = groups.iter().map(|group| group.rows as f64 * (group.predicted - group.observed).abs());
        let value = off.sum::<f64>() / rows as f64;
        (rows > 0).then_some(Estimate { name: "ece", value, interval: None })
    }
}
