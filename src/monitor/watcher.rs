//! A version that is watched, as people are told of it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::drift::{Change, Counted, Drift, Plan, Watching};
use crate::serving::ServedVersion;

/// A watched version.
pub(super) struct Watcher {
    pub(super) version: Arc<ServedVersion>,
    pub(super) watching: Watching,
    /// Rows since the rate was looked at last.
    pub(super) fresh: u64,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(version: Arc<ServedVersion>, plan: Plan) -> Self {
        let watch = &version.watch;
        let watching = Watching::new(watch.layout.clone(), watch.reference.as_ref(), plan, super::now());
        Self { version, watching, fresh: 0 }
    }

    /// Takes a row.
    pub(super) fn push(&mut self, row: &[u32], plan: Plan, now: u64) {
        self.fresh += 1;
        if let Some(reference) = self.watching.push(row, plan, now) {
            tracing::info!(
                model = %self.version.model, version = self.version.version.get(), rows = reference.rows,
                "the reference of its features is learned"
            );
        }
    }

    /// Looks, where something is due; what became of alerts.
    pub(super) fn look(&mut self, plan: Plan, now: u64) -> Vec<Change> {
        self.watching.look(plan, now)
    }

    /// What is known, for people.
    pub(super) fn summary(&self) -> Value {
        let watching = &self.watching;
        let mut summary = json!({
            "model": self.version.model.as_str(),
            "version": self.version.version.to_string(),
            "features": self.version.watch.layout.features.len() - 1,
            "left_out": self.version.watch.layout.left_out,
            "rows": watching.rows(),
            "every": self.version.watch.every(),
            "bytes": watching.bytes(),
            "alerts": watching.alerts().on(),
            "state": watching.state(),
        });
        if let Some((seen, needed)) = watching.learned() {
            summary["learned"] = json!([seen, needed]);
        }
        if watching.reference().is_some() {
            summary["detects_changes"] = watching.detects_changes().into();
        }
        summary
    }

    /// All of it.
    pub(super) fn report(&self, now: String) -> Value {
        let mut report = self.summary();
        report["timestamp"] = now.into();
        report["problems"] = json!(self.watching.problems());
        if let Some(reference) = self.watching.reference() {
            report["reference_rows"] = reference.rows.into();
            let came = self.version.watch.reference.is_some();
            report["reference_from"] = if came { "version" } else { "learned" }.into();
        }
        if let Some(evaluation) = self.watching.evaluation() {
            report["method"] = "kolmogorov_smirnov".into();
            report["window_rows"] = evaluation.rows.into();
            report["features"] = by_name(&evaluation.features);
            report["prediction"] = json!(evaluation.prediction);
            if self.watching.hours() {
                report["reference_from"] = "same_hour".into();
                report["reference_rows"] = evaluation.reference_rows.into();
            }
        }
        report
    }

    /// The reference and the window, cell by cell.
    pub(super) fn counted(&self) -> Option<Counted> {
        let (reference, window) = (self.watching.reference()?, self.watching.window()?);
        let (model, version) = (self.version.model.as_str(), self.version.version.to_string());
        Some(Counted::of(model, version, reference, window))
    }
}

fn by_name(features: &[Drift]) -> Value {
    features
        .iter()
        .map(|drift| (drift.feature.clone(), json!(drift)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
