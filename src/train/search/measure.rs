//! What a trial is worth on the validation part.

use crate::evaluate::{Bootstrap, Evaluation, Metric, Predictions, Settings};
use crate::learner::Model;
use crate::predictor::Predictor;
use crate::table::{Part, Rows, Task};

/// What trials are judged by.
pub(super) struct Judge<'a> {
    pub(super) rows: &'a dyn Rows,
    pub(super) task: Task,
    /// The probability from which on the second of two classes is predicted.
    pub(super) threshold: Option<f64>,
    /// The quantile that is learned.
    pub(super) quantile: Option<f64>,
}

impl Judge<'_> {
    /// The metric of a model on the rows that say when to stop.
    ///
    /// # Errors
    /// When the model cannot answer, or the metric is not defined on these rows.
    pub(super) fn value(&self, model: &Model, metric: &Metric) -> Result<f64, String> {
        let width = self.rows.columns().len();
        let mut predictor = Predictor::new(model, self.task)?;
        let (mut truth, mut scores, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        self.rows.scan(Part::Validation, &mut |batch| {
            scores.extend(predictor.scores(batch.values, width)?);
            truth.extend(batch.target.iter().map(|target| f64::from(*target)));
            weights.extend(batch.weight.unwrap_or_default().iter().map(|weight| f64::from(*weight)));
            Ok(())
        })?;
        if truth.is_empty() {
            return Err("the split left no rows of validation; raise split.validation".to_owned());
        }
        let weights = (weights.len() == truth.len()).then_some(weights);
        let mut predictions = Predictions::new(self.task, truth, scores, weights)?;
        if let Some(quantile) = self.quantile {
            predictions = predictions.at_quantile(quantile)?;
        }
        // Trials are told apart by their values; nobody asks for intervals of each.
        let bootstrap = Bootstrap { resamples: 0, ..Bootstrap::default() };
        let settings = Settings { bootstrap, threshold: self.threshold, labels: Vec::new() };
        let evaluation = Evaluation::of(&predictions, &[], &settings)?;
        evaluation.value(metric.name).ok_or_else(|| {
            let why = evaluation.undefined.get(metric.name).map_or("it has no value", String::as_str);
            format!("{}: {why}", metric.name)
        })
    }
}
