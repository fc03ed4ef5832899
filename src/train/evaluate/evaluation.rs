//! What a model is worth on rows that it has not seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidegate::score::Better;

use super::bootstrap::{Bootstrap, interval};
use super::measure::prepare;
use super::metric::{Loss, Metric, Test, metrics};
use super::predictions::Predictions;
use super::slices::{self, Grouping, Slice};
use crate::table::Task;

/// Every metric of a task, with intervals, and where the model is worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// `regression`, `binary` or `multiclass`.
    pub task: String,
    /// Rows.
    pub rows: usize,
    /// The share of resamples that an interval holds.
    pub level: f64,
    /// The metrics that are defined, in the order of their table.
    pub metrics: Vec<Measured>,
    /// Names of those that are not, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undefined: BTreeMap<String, String>,
    /// Truth by prediction, of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    /// Of two classes, the threshold with the highest F1 on these very rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_f1: Option<BestF1>,
    /// The model on parts of the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

/// A metric with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The ends of its interval; none where resamples lack it.
    pub interval: Option<[f64; 2]>,
    /// Whether less of it is better.
    pub lower_is_better: bool,
}

/// How much of each class was taken for which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Confusion {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// The probability from which on the second of two classes is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Rows, or their weights, by truth and within it by prediction.
    pub counts: Vec<Vec<f64>>,
}

/// A threshold and what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BestF1 {
    /// The probability from which on the second class is predicted.
    pub threshold: f64,
    /// F1 of the second class there.
    pub f1: f64,
}

/// How to evaluate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// How intervals are found.
    pub bootstrap: Bootstrap,
    /// The probability from which on the second of two classes is predicted; the likelier one if none is given.
    pub threshold: Option<f64>,
    /// Names of the classes; their numbers if none are given.
    pub labels: Vec<String>,
}

impl Evaluation {
    /// Evaluates predictions, whole and by each grouping of the rows.
    ///
    /// # Errors
    /// For a grouping of other rows.
    pub(crate) fn of(
        predictions: &Predictions,
        groupings: &[Grouping],
        settings: &Settings,
    ) -> Result<Self, String> {
        let threshold = settings.threshold.unwrap_or(0.5);
        let weights = predictions.weights();
        let measure = prepare(predictions, threshold);
        let mut values = Vec::new();
        measure.values(&weights, &mut values);
        let resamples = settings.bootstrap.run(&weights, &[&*measure]);
        let table = metrics(predictions.task());
        let (mut found, mut undefined) = (Vec::new(), BTreeMap::new());
        for (at, (metric, value)) in table.iter().zip(values).enumerate() {
            if value.is_finite() {
                let sorted = resamples.sorted(|values| values(at));
                let interval = sorted.and_then(|sorted| interval(&sorted, settings.bootstrap.level));
                found.push(Measured::new(metric, value, interval));
            } else {
                undefined
                    .insert(metric.name.to_owned(), why_undefined(metric, predictions.task()).to_owned());
            }
        }
        let binary = predictions.task() == Task::Binary;
        Ok(Self {
            task: task_name(predictions.task()).to_owned(),
            rows: predictions.rows(),
            level: settings.bootstrap.level,
            metrics: found,
            undefined,
            confusion: (predictions.task() != Task::Regression)
                .then(|| Confusion::of(predictions, threshold, &settings.labels)),
            best_f1: if binary { BestF1::of(predictions) } else { None },
            slices: slices::slices(predictions, groupings, threshold)?,
        })
    }

    /// The value of a metric.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    /// Names with this in front and values, as trackers and manifests take them: `test_` gives `test_rmse`.
    pub(crate) fn named(&self, prefix: &str) -> BTreeMap<String, f64> {
        self.metrics.iter().map(|metric| (format!("{prefix}{}", metric.name), metric.value)).collect()
    }
}

impl Measured {
    fn new(metric: &Metric, value: f64, interval: Option<[f64; 2]>) -> Self {
        let lower_is_better = metric.better == Better::Lower;
        Self { name: metric.name.to_owned(), value, interval, lower_is_better }
    }
}

/// The name in reports.
pub(crate) const fn task_name(task: Task) -> &'static str {
    match task {
        Task::Regression => "regression",
        Task::Binary => "binary",
        Task::Multiclass { .. } => "multiclass",
    }
}

/// Nothing but too little data leaves a metric without a value.
pub(super) fn why_undefined(metric: &Metric, task: Task) -> &'static str {
    match task {
        Task::Regression if metric.test == Test::Loss(Loss::Relative) => "the true value is 0 in every row",
        Task::Regression => "it needs two rows or more",
        Task::Binary => "the rows have only one of the two classes",
        Task::Multiclass { .. } => "a class does not come in the rows",
    }
}

impl Confusion {
    fn of(predictions: &Predictions, threshold: f64, labels: &[String]) -> Self {
        let classes = predictions.width().max(2);
        let mut counts = vec![vec![0.0; classes]; classes];
        let rows = predictions.truth().iter().zip(predictions.classes(threshold)).zip(predictions.weights());
        rows.for_each(|((truth, predicted), weight)| counts[*truth as usize][predicted] += weight);
        let label = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
        Self {
            labels: (0..classes).map(label).collect(),
            threshold: (predictions.task() == Task::Binary).then_some(threshold),
            counts,
        }
    }
}

impl BestF1 {
    /// Of all thresholds that part rows differently; the highest of equals.
    fn of(predictions: &Predictions) -> Option<Self> {
        let weights = predictions.weights();
        let rows = predictions.scores().iter().zip(predictions.truth()).zip(&weights);
        let mut rows: Vec<(f64, f64, f64)> =
            rows.map(|((score, truth), w)| (*score, truth * w, *w)).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let second: f64 = rows.iter().map(|row| row.1).sum();
        let (mut hits, mut taken, mut best) = (0.0, 0.0, None);
        for tied in rows.chunk_by(|a, b| a.0 == b.0) {
            hits += tied.iter().map(|row| row.1).sum::<f64>();
            taken += tied.iter().map(|row| row.2).sum::<f64>();
            let f1 = 2.0 * hits / (second + taken);
            if best.is_none_or(|best: Self| f1 > best.f1) {
                best = tied.first().map(|row| Self { threshold: row.0, f1 });
            }
        }
        best.filter(|_| second > 0.0)
    }
}
