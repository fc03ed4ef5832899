//! The series of performance, which come with labels: there is none where nothing is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{GaugeVec, Opts};

use super::Metrics;

/// The delays that have a series.
const QUANTILES: [&str; 2] = ["0.5", "0.95"];

/// How good a version's predictions of the last hour are.
#[derive(Clone, Debug, Default)]
pub struct Performances {
    /// By name.
    pub metrics: BTreeMap<&'static str, f64>,
    /// The share of them that has an actual.
    pub coverage: Option<f64>,
    /// Seconds within which half of these came, and nineteen of twenty.
    pub delays: [Option<f64>; 2],
}

/// Its series.
#[derive(Debug)]
pub(super) struct Series {
    accuracy: GaugeVec,
    performance: GaugeVec,
    coverage: GaugeVec,
    delay: GaugeVec,
    /// Names of metrics that a version has, by model and version.
    told: Mutex<BTreeMap<(String, String), BTreeSet<&'static str>>>,
}

// === impl Series ===

impl Series {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            accuracy: gauge(
                "model_accuracy",
                "Share of the last hour's predictions, of those with an actual, whose class was right",
                &["model", "version"],
            )?,
            performance: gauge(
                "sidegate_performance",
                "A metric of the last hour's predictions, of those with an actual: accuracy, precision, recall, f1, \
                 balanced_accuracy, matthews, auc, log_loss, brier, ece; rmse, mse, mae, mean_error, r2",
                &["model", "version", "metric"],
            )?,
            coverage: gauge(
                "sidegate_label_coverage_ratio",
                "Share of the last hour's predictions that has an actual",
                &["model", "version"],
            )?,
            delay: gauge(
                "sidegate_label_delay_seconds",
                "Time from the last hour's predictions to their actuals, of those that came",
                &["model", "version", "quantile"],
            )?,
            told: Mutex::default(),
        })
    }

    pub(super) fn collectors(&self) -> impl Iterator<Item = Box<dyn Collector>> {
        [&self.accuracy, &self.performance, &self.coverage, &self.delay]
            .into_iter()
            .map(|family| Box::new(family.clone()) as Box<dyn Collector>)
    }
}

impl Metrics {
    /// Takes over how good a version's predictions are; what is not known is no series.
    pub fn performance(&self, model: &str, version: &str, known: &Performances) {
        let series = &self.performances;
        let mut all = series.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry((model.into(), version.into())).or_default();
        for gone in told.iter().filter(|name| !known.metrics.contains_key(*name)) {
            drop(series.performance.remove_label_values(&[model, version, gone]));
        }
        for (name, value) in &known.metrics {
            series.performance.with_label_values(&[model, version, name]).set(*value);
        }
        *told = known.metrics.keys().copied().collect();
        let labels = [model, version];
        set(&series.accuracy, &labels, known.metrics.get("accuracy").copied());
        set(&series.coverage, &labels, known.coverage);
        for (quantile, delay) in QUANTILES.iter().zip(known.delays) {
            set(&series.delay, &[model, version, quantile], delay);
        }
    }

    /// Drops all of a version.
    pub fn forget_performance(&self, model: &str, version: &str) {
        self.performance(model, version, &Performances::default());
        let mut all = self.performances.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(model.to_owned(), version.to_owned()));
    }
}

fn set(family: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => family.with_label_values(labels).set(value),
        None => drop(family.remove_label_values(labels)),
    }
}
