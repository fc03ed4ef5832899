//! What came and what a model said of it, checked once and trusted behind.

use super::metric::Loss;
use crate::table::Task;

/// Predictions of rows whose truth is known.
#[derive(Clone, Debug)]
pub(crate) struct Predictions {
    task: Task,
    truth: Vec<f64>,
    scores: Vec<f64>,
    weight: Option<Vec<f64>>,
    quantile: f64,
}

impl Predictions {
    /// Truths are numbers, or numbers of classes; scores are the predicted numbers, the probabilities of the second
    /// of two classes, or the probabilities of all classes, row by row.
    ///
    /// # Errors
    /// Says which row is wrong and how.
    pub(crate) fn new(
        task: Task,
        truth: Vec<f64>,
        scores: Vec<f64>,
        weight: Option<Vec<f64>>,
    ) -> Result<Self, String> {
        let found = Self { task, truth, scores, weight, quantile: 0.5 };
        found.check()?;
        Ok(found)
    }

    /// With the quantile that the model was trained for, which the pinball loss asks for; otherwise the median.
    ///
    /// # Errors
    /// For what is no share between 0 and 1.
    pub(crate) fn at_quantile(mut self, quantile: f64) -> Result<Self, String> {
        if !(quantile > 0.0 && quantile < 1.0) {
            return Err(format!("quantile {quantile} is not between 0 and 1"));
        }
        self.quantile = quantile;
        Ok(self)
    }

    /// The quantile that the scores are; the median where nobody says.
    pub(crate) const fn quantile(&self) -> f64 {
        self.quantile
    }

    fn check(&self) -> Result<(), String> {
        let (rows, width) = (self.truth.len(), self.width());
        if rows == 0 {
            return Err("there are no rows to evaluate on; widen the date range or the test share".to_owned());
        }
        if width < 1 || self.scores.len() != rows * width {
            return Err(format!("{} scores for {rows} rows of {width}", self.scores.len()));
        }
        let classes = match self.task {
            Task::Regression => None,
            Task::Binary => Some(2.0),
            Task::Multiclass { classes } => Some(f64::from(classes)),
        };
        for (row, truth) in self.truth.iter().enumerate() {
            let sound = classes
                .map_or(truth.is_finite(), |classes| truth.fract() == 0.0 && (0.0..classes).contains(truth));
            if !sound {
                let what = if classes.is_some() { "the number of a class" } else { "a finite number" };
                return Err(format!("row {row}: the truth {truth} is not {what}"));
            }
        }
        let odd = |score: &f64| match classes {
            None => !score.is_finite(),
            // What a softmax in float32 rounds to.
            Some(_) => !(-1e-6..=1.0 + 1e-6).contains(score),
        };
        if let Some(at) = self.scores.iter().position(odd) {
            let what = if classes.is_some() { "a probability" } else { "a finite number" };
            let score = self.scores.get(at).copied().unwrap_or(f64::NAN);
            return Err(format!("row {}: the model answers {score}, which is not {what}", at / width));
        }
        let Some(weight) = &self.weight else { return Ok(()) };
        if weight.len() != rows || weight.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(format!("{} weights for {rows} rows, or one that is not 0 or more", weight.len()));
        }
        if weight.iter().sum::<f64>() > 0.0 { Ok(()) } else { Err("all rows weigh 0".to_owned()) }
    }

    /// What is predicted.
    pub(crate) const fn task(&self) -> Task {
        self.task
    }

    /// Rows.
    pub(crate) const fn rows(&self) -> usize {
        self.truth.len()
    }

    /// What came.
    pub(crate) fn truth(&self) -> &[f64] {
        &self.truth
    }

    /// What was predicted, [`Self::width`] numbers a row.
    pub(crate) fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Scores per row.
    pub(crate) const fn width(&self) -> usize {
        match self.task {
            Task::Regression | Task::Binary => 1,
            Task::Multiclass { classes } => classes as usize,
        }
    }

    /// What rows count, where that was given.
    pub(crate) fn given_weights(&self) -> Option<Vec<f64>> {
        self.weight.clone()
    }

    /// What rows count.
    pub(crate) fn weights(&self) -> Vec<f64> {
        self.weight.clone().unwrap_or_else(|| vec![1.0; self.truth.len()])
    }

    /// The class of each row: the second of two from the threshold on, the likeliest of more.
    pub(crate) fn classes(&self, threshold: f64) -> Vec<usize> {
        self.scores.chunks_exact(self.width()).map(|row| class_of(self.task, row, threshold)).collect()
    }

    /// What each row costs.
    pub(crate) fn losses(&self, loss: Loss) -> Vec<f64> {
        let of = |row: &[f64], truth: f64| -> f64 {
            let score = row.first().copied().unwrap_or(f64::NAN);
            let error = truth - score;
            match loss {
                Loss::Squared => error * error,
                Loss::Absolute => error.abs(),
                // By the least number in its place, as scikit-learn has it, one such row outweighs all others.
                Loss::Relative if truth == 0.0 => f64::NAN,
                Loss::Relative => error.abs() / truth.abs(),
                Loss::Symmetric if error == 0.0 => 0.0,
                Loss::Symmetric => 2.0 * error.abs() / (truth.abs() + score.abs()),
                Loss::Pinball => (self.quantile * error).max((self.quantile - 1.0) * error),
                Loss::Brier => error * error,
                Loss::Log => {
                    let chance = match self.task {
                        Task::Multiclass { .. } => row.get(truth as usize).copied().unwrap_or(f64::NAN),
                        _ if truth > 0.0 => score,
                        _ => 1.0 - score,
                    };
                    // Kept off 0 and 1 as in `score::Classes::log_loss`.
                    -chance.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
                }
            }
        };
        self.scores.chunks_exact(self.width()).zip(&self.truth).map(|(row, truth)| of(row, *truth)).collect()
    }
}

/// The class that is answered to a row of such scores.
pub(crate) fn class_of(task: Task, row: &[f64], threshold: f64) -> usize {
    match task {
        Task::Multiclass { .. } => largest(row),
        Task::Regression | Task::Binary => {
            usize::from(row.first().is_some_and(|score| is_second(*score, threshold)))
        }
    }
}

/// Whether the second of two classes is answered at its probability: what is counted here is what the served file's `label`
/// says, which compares in float32. At a half that is where it is the likelier, for of two equals ArgMax takes the first.
pub(super) fn is_second(probability: f64, threshold: f64) -> bool {
    let (probability, threshold) = (probability as f32, threshold as f32);
    if threshold == 0.5 { probability > 0.5 } else { probability >= threshold }
}

/// The place of the first of the largest.
pub(super) fn largest(row: &[f64]) -> usize {
    let first = (0, f64::NEG_INFINITY);
    row.iter()
        .enumerate()
        .fold(first, |best, (at, value)| if *value > best.1 { (at, *value) } else { best })
        .0
}
