//! Metrics of the probability of the second of two classes.

use super::Classes;

impl Classes {
    /// Area under the ROC curve of the second of two classes; equal probabilities count half.
    ///
    /// # Errors
    /// For other than two classes, without probabilities, and where only one class comes.
    pub fn auc(&self) -> Result<f64, String> {
        let scored = self.scored("auc is for two classes; use log_loss or f1")?;
        let positives = scored.iter().filter(|(_, positive)| *positive).count();
        let negatives = scored.len() - positives;
        if positives == 0 || negatives == 0 {
            return Err("the data has only one of the two classes".to_owned());
        }
        // Mann and Whitney: positives above negatives, ties half.
        let (mut below, mut wins) = (0, 0.0);
        for tied in scored.chunk_by(|a, b| a.0 == b.0) {
            let up = tied.iter().filter(|(_, positive)| *positive).count();
            let down = tied.len() - up;
            wins += up as f64 * (below as f64 + down as f64 / 2.0);
            below += down;
        }
        Ok(wins / (positives as f64 * negatives as f64))
    }

    /// Precision at each threshold by the recall that it adds, which is the area under their curve without
    /// interpolation; 0 where the second class does not come.
    ///
    /// # Errors
    /// For other than two classes and without probabilities.
    pub fn average_precision(&self) -> Result<f64, String> {
        let scored = self.scored("average precision is for two classes; use f1")?;
        let positives = scored.iter().filter(|(_, positive)| *positive).count();
        let (mut seen, mut hits, mut area) = (0, 0, 0.0);
        for tied in scored.chunk_by(|a, b| a.0 == b.0).rev() {
            let found = tied.iter().filter(|(_, positive)| *positive).count();
            seen += tied.len();
            hits += found;
            area += found as f64 * (hits as f64 / seen as f64);
        }
        Ok(if positives == 0 { 0.0 } else { area / positives as f64 })
    }

    /// Mean squared distance of the second class's probability from what came, 1 or 0 (Brier).
    ///
    /// # Errors
    /// For other than two classes and without probabilities.
    pub fn brier(&self) -> Result<f64, String> {
        let scored = self.scored("the Brier score is for two classes; use log_loss")?;
        let squares = scored.iter().map(|(score, positive)| (score - f64::from(u8::from(*positive))).powi(2));
        Ok(squares.sum::<f64>() / scored.len() as f64)
    }

    /// Probabilities of the second class and whether it came, from the lowest on.
    fn scored(&self, otherwise: &str) -> Result<Vec<(f64, bool)>, String> {
        self.need_probabilities()?;
        if self.width != 2 || self.truth.iter().any(|class| *class > 1) {
            return Err(otherwise.to_owned());
        }
        let rows = self.probabilities.chunks_exact(2).zip(&self.truth);
        let mut scored: Vec<(f64, bool)> = rows.map(|(row, class)| (row[1], *class == 1)).collect();
        if scored.iter().any(|(score, _)| score.is_nan()) {
            return Err("a probability is NaN".to_owned());
        }
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(scored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(truth: &[usize], scores: &[f64]) -> Classes {
        let probabilities = scores.iter().flat_map(|p| [1.0 - p, *p]).collect();
        Classes { truth: truth.to_vec(), predicted: truth.to_vec(), probabilities, width: 2 }
    }

    #[test]
    fn tied_probabilities_are_one_threshold() {
        let tied = classes(&[1, 0, 1, 0], &[0.5; 4]);
        assert_eq!([tied.auc(), tied.average_precision(), tied.brier()], [0.5, 0.5, 0.25].map(Ok));
        let apart = classes(&[0, 0, 1, 1], &[0.0, 0.0, 1.0, 1.0]);
        assert_eq!([apart.auc(), apart.average_precision(), apart.brier()], [1.0, 1.0, 0.0].map(Ok));
    }

    #[test]
    fn without_the_second_class_there_is_no_precision() {
        assert_eq!(classes(&[0, 0], &[0.1, 0.9]).average_precision(), Ok(0.0));
        let three =
            Classes { truth: vec![2], predicted: vec![2], probabilities: vec![0.0, 0.5, 0.5], width: 3 };
        assert!(three.average_precision().unwrap_err().contains("two classes"));
        assert!(three.brier().unwrap_err().contains("two classes"));
    }
}
