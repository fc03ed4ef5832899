//! Metrics of classes.

use super::tally::{Average, Tally};

/// True and predicted classes as numbers, and what the model thinks of each class.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// What came, a class per row.
    pub truth: Vec<usize>,
    /// What was predicted, a class per row.
    pub predicted: Vec<usize>,
    /// Probabilities, row by row; empty when the model gives none.
    pub probabilities: Vec<f64>,
    /// Classes that have a probability: those below this number.
    pub width: usize,
}

// === impl Classes ===

impl Classes {
    /// Share of rows whose class was predicted.
    ///
    /// # Errors
    /// Never; the others of the family can fail.
    pub fn accuracy(&self) -> Result<f64, String> {
        Ok(self.tally().accuracy())
    }

    /// Share of those predicted that are right, by class, weighted by how often a class comes.
    ///
    /// # Errors
    /// Never.
    pub fn precision(&self) -> Result<f64, String> {
        Ok(self.tally().precision(Average::Weighted))
    }

    /// Share of those there that are found, by class, weighted by how often a class comes.
    ///
    /// # Errors
    /// Never.
    pub fn recall(&self) -> Result<f64, String> {
        Ok(self.tally().recall(Average::Weighted))
    }

    /// Harmonic mean of precision and recall, by class, weighted by how often a class comes.
    ///
    /// # Errors
    /// Never.
    pub fn f1(&self) -> Result<f64, String> {
        Ok(self.tally().f1(Average::Weighted))
    }

    /// Mean negative logarithm of the probability of the class that came, which is kept off 0 and 1 by the precision
    /// of `f64`.
    ///
    /// # Errors
    /// Without probabilities, and for a class that has none.
    pub fn log_loss(&self) -> Result<f64, String> {
        self.need_probabilities()?;
        if self.truth.iter().any(|class| *class >= self.width) {
            return Err("the data has a class to which the model gives no probability".to_owned());
        }
        let rows = self.probabilities.chunks_exact(self.width).zip(&self.truth);
        let losses = rows.map(|(row, class)| -row[*class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln());
        Ok(losses.sum::<f64>() / self.truth.len() as f64)
    }

    pub(super) fn need_probabilities(&self) -> Result<(), String> {
        let whole = self.width > 0 && self.probabilities.len() == self.width * self.truth.len();
        if whole { Ok(()) } else { Err("the model has no output with a probability per class".to_owned()) }
    }

    /// Rows by true class and, within it, by predicted class.
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let highest = self.truth.iter().chain(&self.predicted).max().map_or(0, |class| class + 1);
        let mut counts = vec![vec![0; highest]; highest];
        self.truth.iter().zip(&self.predicted).for_each(|(truth, predicted)| counts[*truth][*predicted] += 1);
        counts
    }

    /// What the metrics without probabilities are computed from.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.truth.iter().zip(&self.predicted).for_each(|(truth, predicted)| tally.push(*truth, *predicted));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are scikit-learn 1.9.1's, with `average="weighted"`.
    #[track_caller]
    fn check(truth: &[usize], predicted: &[usize], [accuracy, precision, recall, f1]: [f64; 4]) {
        let classes = Classes { truth: truth.to_vec(), predicted: predicted.to_vec(), ..Classes::default() };
        let got = [classes.accuracy(), classes.precision(), classes.recall(), classes.f1()];
        for (got, want) in got.into_iter().zip([accuracy, precision, recall, f1]) {
            assert!((got.clone().unwrap() - want).abs() <= 1e-12, "{got:?} and not {want}");
        }
        assert!(classes.auc().is_err() && classes.log_loss().is_err(), "there are no probabilities");
    }

    #[track_caller]
    fn check_binary(truth: &[usize], scores: &[f64], [auc, log_loss]: [f64; 2]) {
        let probabilities = scores.iter().flat_map(|p| [1.0 - p, *p]).collect();
        let classes = Classes { truth: truth.to_vec(), predicted: truth.to_vec(), probabilities, width: 2 };
        let (got_auc, got_loss) = (classes.auc().unwrap(), classes.log_loss().unwrap());
        assert!((got_auc - auc).abs() <= 1e-12, "{got_auc} and not {auc}");
        assert!((got_loss - log_loss).abs() <= 1e-9 * log_loss, "{got_loss} and not {log_loss}");
    }

    #[test]
    fn one_row() {
        check(&[0], &[0], [1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_class_that_never_comes_is_predicted() {
        check(
            &[1, 1, 0, 0, 0, 0, 1, 1, 1, 1],
            &[1, 0, 0, 2, 1, 0, 1, 1, 1, 1],
            [0.7, 0.7666666666666666, 0.7, 0.7285714285714285],
        );
    }

    #[test]
    fn all_right() {
        check(
            &[
                1, 2, 2, 0, 0, 1, 2, 1, 1, 1, 1, 1, 2, 2, 0, 2, 1, 1, 0, 0, 1, 0, 1, 0, 2, 1, 2, 2, 2, 0, 1,
                1, 1, 1, 1, 0, 2, 1, 1, 0, 1, 1, 1, 1, 2, 0, 0, 1, 1, 2,
            ],
            &[
                1, 2, 2, 0, 0, 1, 2, 1, 1, 1, 1, 1, 2, 2, 0, 2, 1, 1, 0, 0, 1, 0, 1, 0, 2, 1, 2, 2, 2, 0, 1,
                1, 1, 1, 1, 0, 2, 1, 1, 0, 1, 1, 1, 1, 2, 0, 0, 1, 1, 2,
            ],
            [1.0, 1.0, 1.0, 1.0],
        );
    }

    #[test]
    fn more_classes_predicted_than_there_are() {
        check(
            &[
                2, 2, 3, 3, 1, 2, 2, 3, 2, 2, 1, 3, 1, 2, 3, 2, 1, 2, 2, 2, 3, 2, 3, 0, 3, 2, 1, 2, 2, 3, 1,
                1, 3, 2, 2, 1, 1, 2, 2, 3, 2, 3, 2, 1, 3, 2, 3, 3, 3, 2, 2, 3, 3, 3, 2, 1, 1, 1, 3, 2, 3, 3,
                2, 3, 2, 2, 2, 1, 1, 2, 3, 2, 2, 2, 3, 2, 2, 3, 2, 3, 1, 2, 2, 2, 1, 2, 2, 3, 2, 1, 3, 2, 3,
                1, 1, 3, 3, 1, 2, 1,
            ],
            &[
                4, 1, 1, 2, 1, 0, 0, 2, 1, 3, 0, 0, 2, 3, 2, 4, 1, 2, 3, 2, 0, 0, 1, 2, 0, 0, 3, 1, 1, 4, 1,
                2, 0, 2, 2, 4, 1, 3, 4, 2, 2, 1, 3, 2, 0, 0, 2, 3, 1, 2, 4, 3, 1, 3, 0, 0, 4, 2, 1, 4, 0, 4,
                4, 4, 3, 4, 4, 3, 0, 2, 0, 4, 2, 2, 2, 3, 3, 0, 3, 4, 1, 2, 3, 4, 1, 3, 0, 3, 0, 0, 1, 0, 4,
                0, 0, 1, 4, 1, 0, 3,
            ],
            [0.21, 0.3664494569757727, 0.21, 0.2626855875831486],
        );
    }

    #[test]
    fn ten_probabilities() {
        check_binary(
            &[1, 0, 0, 1, 0, 0, 0, 1, 1, 0],
            &[
                0.439862, 0.957057, 0.701617, 0.601525, 0.255461, 0.344292, 0.209593, 0.592261, 0.621385,
                0.0963798,
            ],
            [0.6666666666666667, 0.7740035881452693],
        );
    }

    #[test]
    fn tied_probabilities() {
        check_binary(
            &[
                1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0,
                0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1,
                0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1,
                1, 0, 1, 0, 0, 0, 0,
            ],
            &[
                0.19, 0.19, 0.57, 0.11, 0.23, 0.62, 0.32, 0.36, 0.37, 0.89, 0.68, 0.43, 0.17, 0.6, 0.15,
                0.58, 0.6, 0.85, 0.35, 0.88, 0.65, 0.89, 0.78, 0.24, 0.62, 0.3, 0.45, 0.3, 0.45, 0.4, 0.3,
                0.77, 0.34, 0.4, 0.34, 0.7, 0.12, 0.57, 0.16, 0.32, 0.58, 0.71, 0.18, 0.98, 0.21, 0.62, 0.66,
                0.37, 0.81, 0.52, 0.21, 0.35, 0.47, 0.74, 0.53, 0.6, 0.11, 0.35, 0.21, 0.64, 0.37, 0.78,
                0.47, 0.49, 0.77, 0.43, 0.13, 0.31, 0.22, 0.31, 0.17, 0.44, 0.74, 0.83, 0.34, 0.3, 0.55,
                0.54, 0.5, 0.89, 0.28, 0.57, 0.67, 0.2, 0.21, 0.59, 0.66, 0.14, 0.65, 0.49, 0.056, 0.24,
                0.92, 0.89, 0.29, 0.41, 0.42, 0.28, 0.44, 0.18,
            ],
            [0.7237103174603173, 0.5992983310679099],
        );
    }

    #[test]
    fn what_is_not_defined_says_why() {
        let three = Classes {
            truth: vec![0, 2],
            predicted: vec![0, 2],
            probabilities: vec![0.7, 0.2, 0.1, 0.2, 0.2, 0.6],
            width: 3,
        };
        assert!(three.auc().unwrap_err().contains("two classes"));
        let expected = -(0.7_f64.ln() + 0.6_f64.ln()) / 2.0;
        assert!((three.log_loss().unwrap() - expected).abs() < 1e-15);
        let one = Classes { truth: vec![1], predicted: vec![1], probabilities: vec![0.0, 1.0], width: 2 };
        assert!(one.auc().unwrap_err().contains("only one"));
        assert!(one.log_loss().unwrap() < 1e-15, "kept off 1");
        let unknown = Classes { truth: vec![2], ..one };
        assert!(unknown.log_loss().unwrap_err().contains("no probability"));
    }
}
