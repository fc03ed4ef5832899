//! What is counted of each class: all that precision, recall and their relatives need, and it adds up.

/// How classes are brought to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean over classes, by how often a class comes.
    Weighted,
    /// The mean over classes that come or are predicted, each counting the same.
    Macro,
    /// Over all rows at once, which for one class per row is the accuracy.
    Micro,
}

/// Counts by class. Tallies of parts merge to the tally of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    classes: Vec<Counts>,
}

/// What is counted of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    truth: u64,
    predicted: u64,
    both: u64,
}

impl Tally {
    /// With room for this many classes; others make room when they come.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![Counts::default(); classes] }
    }

    /// Takes a row.
    pub fn push(&mut self, truth: usize, predicted: usize) {
        self.add(truth, predicted, 1);
    }

    /// Takes rows that are alike.
    pub fn add(&mut self, truth: usize, predicted: usize, rows: u64) {
        let highest = truth.max(predicted);
        if highest >= self.classes.len() {
            self.classes.resize(highest + 1, Counts::default());
        }
        self.classes[truth].truth += rows;
        self.classes[predicted].predicted += rows;
        self.classes[truth].both += if truth == predicted { rows } else { 0 };
    }

    /// Takes back a row that was taken.
    pub fn remove(&mut self, truth: usize, predicted: usize) {
        self.classes[truth].truth -= 1;
        self.classes[predicted].predicted -= 1;
        self.classes[truth].both -= u64::from(truth == predicted);
    }

    /// Takes the rows of another.
    pub fn merge(&mut self, other: &Self) {
        if other.classes.len() > self.classes.len() {
            self.classes.resize(other.classes.len(), Counts::default());
        }
        for (counts, other) in self.classes.iter_mut().zip(&other.classes) {
            counts.truth += other.truth;
            counts.predicted += other.predicted;
            counts.both += other.both;
        }
    }

    /// Rows that were taken.
    pub fn rows(&self) -> u64 {
        self.classes.iter().map(|counts| counts.truth).sum()
    }

    /// Share of rows whose class was predicted; NaN of none.
    pub fn accuracy(&self) -> f64 {
        self.sum(|counts| counts.both as f64) / self.rows() as f64
    }

    /// Share of those predicted that are right; 0 for a class never predicted.
    pub fn precision(&self, average: Average) -> f64 {
        self.average(average, |counts| ratio(counts.both, counts.predicted))
    }

    /// Share of those there that are found; 0 for a class that never comes.
    pub fn recall(&self, average: Average) -> f64 {
        self.average(average, |counts| ratio(counts.both, counts.truth))
    }

    /// Harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self, average: Average) -> f64 {
        self.average(average, |counts| ratio(2 * counts.both, counts.truth + counts.predicted))
    }

    /// Mean recall of the classes that come; NaN where none does.
    pub fn balanced_accuracy(&self) -> f64 {
        let come = self.classes.iter().filter(|counts| counts.truth > 0).count();
        self.sum(|counts| ratio(counts.both, counts.truth)) / come as f64
    }

    /// Matthews's correlation of truth and prediction (Gorodkin's for many classes), −1 to 1; 0 where one of them
    /// does not vary.
    pub fn matthews(&self) -> f64 {
        let rows = self.rows() as f64;
        let shared = self.sum(|counts| counts.both as f64) * rows
            - self.sum(|counts| counts.truth as f64 * counts.predicted as f64);
        let truth = rows * rows - self.sum(|counts| (counts.truth as f64).powi(2));
        let predicted = rows * rows - self.sum(|counts| (counts.predicted as f64).powi(2));
        if truth * predicted == 0.0 { 0.0 } else { shared / (truth * predicted).sqrt() }
    }

    fn average(&self, average: Average, of: impl Fn(&Counts) -> f64) -> f64 {
        match average {
            Average::Weighted => self.sum(|counts| counts.truth as f64 * of(counts)) / self.rows() as f64,
            Average::Macro => {
                let seen = self.classes.iter().filter(|counts| counts.truth + counts.predicted > 0).count();
                self.sum(of) / seen as f64
            }
            Average::Micro => self.accuracy(),
        }
    }

    fn sum(&self, of: impl Fn(&Counts) -> f64) -> f64 {
        self.classes.iter().map(of).sum()
    }
}

/// 0 where there is nothing to divide by, as in scikit-learn.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(rows: &[(usize, usize)]) -> Tally {
        let mut tally = Tally::default();
        rows.iter().for_each(|(truth, predicted)| tally.push(*truth, *predicted));
        tally
    }

    #[test]
    fn a_prediction_that_does_not_vary_has_no_correlation() {
        assert_eq!(tally(&[(0, 1), (1, 1), (2, 1)]).matthews(), 0.0);
        assert_eq!(tally(&[(0, 1), (1, 0)]).matthews(), -1.0);
    }

    #[test]
    fn a_class_that_neither_comes_nor_is_predicted_counts_nowhere() {
        let (near, far) = (tally(&[(0, 0), (1, 0)]), tally(&[(0, 0), (9, 0)]));
        assert_eq!(near.f1(Average::Macro), far.f1(Average::Macro));
        assert_eq!(near.balanced_accuracy(), far.balanced_accuracy());
    }

    proptest! {
        #[test]
        fn the_tally_of_a_whole_is_that_of_its_parts_in_any_order(
            rows in prop::collection::vec((0..7_usize, 0..5_usize), 1..90), cut in 0.0..1.0_f64
        ) {
            let [a, b] = [&rows[..(rows.len() as f64 * cut) as usize], &rows[(rows.len() as f64 * cut) as usize..]].map(tally);
            for (first, second) in [(&a, &b), (&b, &a)] {
                let mut sum = first.clone();
                sum.merge(second);
                prop_assert_eq!(sum.rows(), rows.len() as u64);
                prop_assert_eq!(&sum, &tally(&rows));
            }
        }
    }
}
