//! The series of drift, which come and go with features.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::{Metrics, OTHER};

/// Alerts of a version that are series of their own; more share one.
const ALERTS: usize = 100;

/// How far a feature is from its reference.
#[derive(Clone, Copy, Debug)]
pub struct Score<'a> {
    /// The feature, or `prediction`.
    pub feature: &'a str,
    /// KS of numbers, χ² of categories.
    pub statistic: f64,
    /// Its p-value, at one look.
    pub p_value: Option<f64>,
}

/// Series that a version has.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    scores: BTreeSet<String>,
    /// By kind and feature.
    alerts: BTreeSet<(String, String)>,
    /// Those that share a series of their kind.
    others: BTreeSet<(String, String)>,
}

impl Metrics {
    /// Takes over how far features of a version are from their reference; those that are not there are dropped.
    pub fn drift_scores(&self, model: &str, version: &str, scores: &[Score<'_>]) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut drifts.entry((model.into(), version.into())).or_default().scores;
        known.retain(|feature| {
            let stays = scores.iter().any(|score| score.feature == feature);
            if !stays {
                self.forget_score(model, version, feature);
            }
            stays
        });
        for Score { feature, statistic, p_value } in scores {
            let labels = [model, version, feature];
            known.insert((*feature).into());
            self.drift_scores.with_label_values(&labels).set(*statistic);
            match p_value {
                Some(p_value) => self.drift_p_values.with_label_values(&labels).set(*p_value),
                None => drop(self.drift_p_values.remove_label_values(&labels)),
            }
        }
    }

    fn forget_score(&self, model: &str, version: &str, feature: &str) {
        drop(self.drift_scores.remove_label_values(&[model, version, feature]));
        drop(self.drift_p_values.remove_label_values(&[model, version, feature]));
    }

    /// Takes over that an alert is on, or is over.
    pub fn drift_alert(&self, model: &str, version: &str, feature: &str, kind: &str, on: bool) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = drifts.entry((model.into(), version.into())).or_default();
        let key = (kind.to_owned(), feature.to_owned());
        let series = |feature: &str| self.drift_alerts.with_label_values(&[model, version, feature, kind]);
        let shared = |known: &Drifts| known.others.iter().any(|(of, _)| of == kind);
        if on && (known.alerts.len() < ALERTS || known.alerts.contains(&key)) {
            known.alerts.insert(key);
            series(feature).set(1);
        } else if on {
            known.others.insert(key);
            series(OTHER).set(1);
        } else if known.alerts.remove(&key) {
            drop(self.drift_alerts.remove_label_values(&[model, version, feature, kind]));
        } else if known.others.remove(&key) && !shared(known) {
            drop(self.drift_alerts.remove_label_values(&[model, version, OTHER, kind]));
        }
    }

    /// Drops all of a version.
    pub fn forget_drift(&self, model: &str, version: &str) {
        let mut drifts = self.drifts.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = drifts.remove(&(model.to_owned(), version.to_owned())).unwrap_or_default();
        for feature in &gone.scores {
            self.forget_score(model, version, feature);
        }
        for (kind, feature) in &gone.alerts {
            drop(self.drift_alerts.remove_label_values(&[model, version, feature, kind]));
        }
        for (kind, _) in &gone.others {
            // The first of a kind takes it away.
            drop(self.drift_alerts.remove_label_values(&[model, version, OTHER, kind]));
        }
    }
}
