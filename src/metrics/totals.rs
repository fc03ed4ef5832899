//! What was counted of predictions up to now, for those who tell it otherwise than by a scrape.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};

use super::Metrics;

/// Sums since the start. One that is smaller than it was belongs to a version that was loaded anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Answered requests by model, version and outcome, variants of experiments taken together.
    pub predictions: BTreeMap<[String; 3], u64>,
    /// How many were timed, and their seconds, by model and version.
    pub durations: BTreeMap<[String; 2], (u64, f64)>,
}

impl Metrics {
    /// The sums as they are.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for metric in metrics(&self.predictions.collect()) {
            let labels = ["model", "version", "outcome"].map(|name| label(metric, name));
            *totals.predictions.entry(labels).or_default() += metric.get_counter().get_value() as u64;
        }
        for metric in metrics(&self.duration.collect()) {
            let timed = metric.get_histogram();
            let labels = ["model", "version"].map(|name| label(metric, name));
            totals.durations.insert(labels, (timed.get_sample_count(), timed.get_sample_sum()));
        }
        totals
    }
}

fn metrics(families: &[MetricFamily]) -> impl Iterator<Item = &Metric> {
    families.iter().flat_map(MetricFamily::get_metric)
}

fn label(metric: &Metric, name: &str) -> String {
    let found = metric.get_label().iter().find(|label| label.name() == name);
    found.map(|label| label.value().to_owned()).unwrap_or_default()
}
