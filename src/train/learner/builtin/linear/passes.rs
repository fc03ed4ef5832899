//! Passes over standardised rows.

use crate::learner::builtin::checks::Checks;
use crate::learner::builtin::{FitError, Linear};
use crate::table::{Column, Part, Rows, Task};

/// Means and standard deviations of the features.
pub(super) struct Standard {
    task: Task,
    names: Vec<String>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// The mean of the target.
    pub(super) target: f64,
}

/// Rows with features of mean 0 and standard deviation 1.
pub(super) struct Standardised<'a> {
    values: &'a [f64],
    target: &'a [f32],
    weight: Option<&'a [f32]>,
}

impl Standardised<'_> {
    pub(super) fn rows(&self) -> usize {
        self.target.len()
    }

    /// Values, target and weight, row by row.
    pub(super) fn each(&self) -> impl Iterator<Item = (&[f64], f64, f64)> {
        let width = self.values.len() / self.target.len().max(1);
        let weight = |row: usize| self.weight.map_or(1.0, |weight| weight[row].into());
        let rows = self.values.chunks_exact(width.max(1)).zip(self.target).enumerate();
        rows.map(move |(row, (values, target))| (values, f64::from(*target), weight(row)))
    }
}

/// Whether weighted sums can be made of such columns.
///
/// # Errors
/// [`FitError::Parameters`], naming the column.
pub(super) fn check(columns: &[Column]) -> Result<(), FitError> {
    if let Some(column) = columns.iter().find(|column| column.categories.is_some()) {
        return Err(FitError::Parameters(format!(
            "`{}` is a category, of which linear models make nothing; one-hot encode it in the features, or drop it",
            column.name
        )));
    }
    match columns.iter().find(|column| column.monotone != 0) {
        None => Ok(()),
        Some(column) => Err(FitError::Parameters(format!(
            "linear models cannot keep `{}` monotone; drop the constraint or take `builtin`",
            column.name
        ))),
    }
}

impl Standard {
    /// Reads the rows to learn from once.
    pub(super) fn read(rows: &dyn Rows, task: Task) -> Result<Self, FitError> {
        let columns = rows.columns();
        let width = columns.len();
        let mut standard = Self {
            task,
            names: columns.iter().map(|column| column.name.clone()).collect(),
            means: vec![0.0; width],
            deviations: vec![0.0; width],
            target: 0.0,
        };
        let (mut total, mut target_mean) = (0.0, 0.0);
        let (mut means, mut squares) = (vec![0.0; width], vec![0.0; width]);
        // Welford's way, which large means do not harm.
        let checks = standard.raw(rows, Part::Train, |values, target, weight| {
            if weight == 0.0 {
                return;
            }
            total += weight;
            let share = weight / total;
            target_mean += (target - target_mean) * share;
            for ((mean, square), value) in means.iter_mut().zip(&mut squares).zip(values) {
                let off = f64::from(*value) - *mean;
                *mean += off * share;
                *square += weight * off * (f64::from(*value) - *mean);
            }
        })?;
        checks.finish()?;
        standard.deviations = squares.iter().map(|square| (square / total).sqrt()).collect();
        // Rounding alone is no variation.
        for (deviation, mean) in standard.deviations.iter_mut().zip(&means) {
            if *deviation <= mean.abs() * 1e-12 {
                *deviation = 0.0;
            }
        }
        (standard.means, standard.target) = (means, target_mean);
        Ok(standard)
    }

    pub(super) fn varies(&self, feature: usize) -> bool {
        self.deviations[feature] > 0.0
    }

    /// Calls `each` with the values, target and weight of every row.
    pub(super) fn raw(
        &self,
        rows: &dyn Rows,
        part: Part,
        mut each: impl FnMut(&[f32], f64, f64),
    ) -> Result<Checks, FitError> {
        self.scan(rows, part, |values, target, weight| {
            for (row, (values, target)) in values.chunks_exact(self.names.len()).zip(target).enumerate() {
                each(values, f64::from(*target), weight.map_or(1.0, |weight| weight[row].into()));
            }
        })
    }

    /// Calls `each` with standardised rows.
    pub(super) fn each(
        &self,
        rows: &dyn Rows,
        part: Part,
        mut each: impl FnMut(&Standardised<'_>),
    ) -> Result<Checks, FitError> {
        let mut standardised = Vec::new();
        self.scan(rows, part, |values, target, weight| {
            standardised.clear();
            for values in values.chunks_exact(self.names.len()) {
                let scales = self.means.iter().zip(&self.deviations);
                standardised.extend(values.iter().zip(scales).map(|(value, (mean, deviation))| {
                    if *deviation > 0.0 { (f64::from(*value) - mean) / deviation } else { 0.0 }
                }));
            }
            each(&Standardised { values: &standardised, target, weight });
        })
    }

    fn scan(
        &self,
        rows: &dyn Rows,
        part: Part,
        mut each: impl FnMut(&[f32], &[f32], Option<&[f32]>),
    ) -> Result<Checks, FitError> {
        let (mut checks, mut unfit) = (Checks::new(self.names.len(), self.task)?, None);
        let scanned = rows.scan(part, &mut |batch| {
            checks.take(&batch)?;
            if let Some(at) = batch.values.iter().position(|value| !value.is_finite()) {
                let name = &self.names[at % self.names.len()];
                let said = format!("`{name}` has missing or infinite values, of which linear models make nothing; impute it in the features, or take `builtin`");
                return Err(unfit.insert(said).clone());
            }
            each(batch.values, batch.target, batch.weight);
            Ok(())
        });
        scanned.map_err(|error| unfit.map_or(FitError::Data(error), FitError::Values))?;
        Ok(checks)
    }

    /// The model on features as they come, of weights on standardised ones.
    pub(super) fn model(&self, weights: &[Vec<f64>], intercepts: &[f64]) -> Linear {
        let raw = |weights: &Vec<f64>| -> Vec<f64> {
            let scaled = weights.iter().zip(&self.deviations);
            scaled
                .map(|(weight, deviation)| if *deviation > 0.0 { weight / deviation } else { 0.0 })
                .collect()
        };
        let weights: Vec<Vec<f64>> = weights.iter().map(raw).collect();
        let shift = |weights: &Vec<f64>| {
            weights.iter().zip(&self.means).map(|(weight, mean)| weight * mean).sum::<f64>()
        };
        let intercepts = intercepts.iter().zip(&weights).map(|(own, weights)| own - shift(weights)).collect();
        Linear { weights, intercepts }
    }
}
