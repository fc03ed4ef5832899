//! What must be true of rows before anything is learned from them.

use crate::learner::builtin::FitError;
use crate::table::{Batch, Task};

/// Watches rows go by.
pub(crate) struct Checks {
    width: usize,
    task: Task,
    rows: usize,
    weight: f64,
    least: f32,
    most: f32,
}

impl Checks {
    pub(crate) fn new(width: usize, task: Task) -> Result<Self, FitError> {
        if width == 0 {
            return Err(FitError::Data("there are no features".into()));
        }
        if let Task::Multiclass { classes } = task
            && !(2..=MAX_CLASSES).contains(&classes)
        {
            return Err(FitError::Data(format!("{classes} classes; from 2 to {MAX_CLASSES} are learned")));
        }
        Ok(Self { width, task, rows: 0, weight: 0.0, least: f32::INFINITY, most: f32::NEG_INFINITY })
    }

    /// Looks at the next rows.
    pub(crate) fn take(&mut self, batch: &Batch<'_>) -> Result<(), String> {
        let rows = batch.target.len();
        if batch.values.len() != rows * self.width || batch.weight.is_some_and(|weight| weight.len() != rows)
        {
            return Err(format!("a batch of {rows} rows has values or weights for another number of them"));
        }
        for (row, target) in (self.rows..).zip(batch.target) {
            self.target(row, *target)?;
        }
        for (row, weight) in (self.rows..).zip(batch.weight.unwrap_or_default()) {
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(format!("row {row}: its weight is {weight}; drop such rows"));
            }
            self.weight += f64::from(*weight);
        }
        if batch.weight.is_none() {
            self.weight += rows as f64;
        }
        self.rows += rows;
        Ok(())
    }

    fn target(&mut self, row: usize, target: f32) -> Result<(), String> {
        if !target.is_finite() {
            let what = if target.is_nan() { "missing" } else { "infinite" };
            return Err(format!("row {row}: the target is {what}; drop such rows in the validation step"));
        }
        let classes = match self.task {
            Task::Regression => None,
            Task::Binary => Some(2),
            Task::Multiclass { classes } => Some(classes),
        };
        if let Some(classes) = classes
            && (target.fract() != 0.0 || !(0.0..f64::from(classes)).contains(&f64::from(target)))
        {
            return Err(format!(
                "row {row}: the target is {target}, not the number of one of {classes} classes"
            ));
        }
        self.least = self.least.min(target);
        self.most = self.most.max(target);
        Ok(())
    }

    /// After all rows to learn from.
    pub(crate) fn finish(&self) -> Result<(), FitError> {
        let flaw = if self.rows == 0 {
            "there are no rows to learn from; look at the date range and the filters".to_owned()
        } else if self.weight == 0.0 {
            "all rows have weight 0".to_owned()
        } else if self.least == self.most {
            match self.task {
                Task::Regression => {
                    format!(
                        "the target is {} in all {} rows: there is nothing to learn",
                        self.least, self.rows
                    )
                }
                _ => format!("all {} rows are of class {}: a classifier needs two", self.rows, self.least),
            }
        } else {
            return Ok(());
        };
        Err(FitError::Data(flaw))
    }
}

/// As many scores as a row may have in serving.
const MAX_CLASSES: u32 = 1 << 16;
