//! The series of drift, which come and go with features.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::{Metrics, OTHER};

/// Alerts of a version that are series of their own; more share one.
const ALERTS: usize = 100;

/// Series that a version has.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    scores: BTreeSet<String>,
    alerts: BTreeSet<(String, String)>,
}

impl Metrics {
    /// Takes over how far features of a version are from their reference; those that are not there are dropped.
    pub fn drift_scores(&self, model: &str, version: &str, scores: &[(&str, f64)]) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut drifts.entry((model.into(), version.into())).or_default().scores;
        known.retain(|feature| {
            let stays = scores.iter().any(|(name, _)| name == feature);
            if !stays {
                drop(self.drift_scores.remove_label_values(&[model, version, feature]));
            }
            stays
        });
        for (feature, score) in scores {
            known.insert((*feature).into());
            self.drift_scores.with_label_values(&[model, version, feature]).set(*score);
        }
    }

    /// Takes over that an alert is on, or is over.
    pub fn drift_alert(&self, model: &str, version: &str, feature: &str, kind: &str, on: bool) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut drifts.entry((model.into(), version.into())).or_default().alerts;
        let key = (feature.to_owned(), kind.to_owned());
        if on && (known.len() < ALERTS || known.contains(&key)) {
            known.insert(key);
            self.drift_alerts.with_label_values(&[model, version, feature, kind]).set(1);
        } else if on {
            known.insert((OTHER.into(), kind.into()));
            self.drift_alerts.with_label_values(&[model, version, OTHER, kind]).set(1);
        } else if known.remove(&key) {
            drop(self.drift_alerts.remove_label_values(&[model, version, feature, kind]));
        }
    }

    /// Drops all of a version.
    pub fn forget_drift(&self, model: &str, version: &str) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = drifts.remove(&(model.to_owned(), version.to_owned())).unwrap_or_default();
        for feature in &gone.scores {
            drop(self.drift_scores.remove_label_values(&[model, version, feature]));
        }
        for (feature, kind) in &gone.alerts {
            drop(self.drift_alerts.remove_label_values(&[model, version, feature, kind]));
        }
    }
}
