//! When somebody is told: neither at the first sign nor at every one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::{Drift, Evaluation};

/// Evaluations in a row that a finding has to last before it is told.
const RAISE: u32 = 2;
/// Evaluations in a row without it before it is over.
const CLEAR: u32 = 3;
/// The part of its threshold that a finding has to fall below to be over.
const CLEAR_BELOW: f64 = 0.7;
/// Milliseconds that an alert lasts at least, so that it does not flap.
const DWELL: u64 = 5 * 60_000;

/// Something found at an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The feature.
    pub feature: String,
    /// `drift`, `prediction_drift`, `change`, or the kind of a problem of quality.
    pub kind: &'static str,
    /// How strong it is, as a multiple of what counts.
    pub level: f64,
    /// Whether it is told at once: what is broken does not become clearer.
    pub at_once: bool,
    /// In words.
    pub detail: String,
}

/// Something that somebody is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// The feature.
    pub feature: String,
    /// Its kind.
    pub kind: &'static str,
    /// When it was raised, in milliseconds since 1970.
    pub since: u64,
    /// When it was seen last.
    pub last: u64,
    /// Its strongest level.
    pub peak: f64,
    /// In words, what was seen last.
    pub detail: String,
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new.
    Raised(Alert),
    /// It is over, after so many milliseconds.
    Cleared(Alert, u64),
}

/// All of a version.
#[derive(Debug, Default)]
pub struct Alerts {
    states: BTreeMap<(String, &'static str), State>,
}

#[derive(Debug, Default)]
struct State {
    seen: u32,
    gone: u32,
    alert: Option<Alert>,
}

// === impl Found ===

impl Found {
    /// Kinds of alerts that an evaluation decides on.
    pub const DRIFTS: &[&str] = &["drift", "prediction_drift", "constant"];

    /// What an evaluation found of every feature and of the prediction.
    pub fn all(evaluation: &Evaluation) -> Vec<Self> {
        let features = evaluation.features.iter().map(|drift| (drift, "drift"));
        let prediction = evaluation.prediction.iter().map(|drift| (drift, "prediction_drift"));
        features.chain(prediction).filter_map(|(drift, kind)| drifted(drift, kind)).collect()
    }
}

fn drifted(drift: &Drift, kind: &'static str) -> Option<Found> {
    if drift.status != "ok" {
        // What cannot be compared is not over.
        let detail = format!("there is too little to compare: {}", drift.status);
        return Some(Found { feature: drift.feature.clone(), kind, level: 0.99, at_once: false, detail });
    }
    // Below its threshold it may still keep an alert on; without a p-value small enough it is nothing.
    let sure = drift.p_adjusted.is_some_and(|p| p < 0.05);
    let level = if drift.beyond { drift.effect.max(1.0) } else { drift.effect.min(0.99) };
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
    sure.then(|| Found {
        feature: drift.feature.clone(),
        kind,
        level,
        at_once: false,
        detail: match drift.ks {
            Some(ks) => format!(
                "KS {ks:.3}, PSI {}, Jensen-Shannon {}, mean shifted by {} standard deviations, p {:.1e}",
                number(drift.psi.map(|psi| psi.value)),
                number(drift.js),
                number(drift.mean_shift),
                drift.p_adjusted.unwrap_or(1.0)
            ),
            None => format!(
                "Cramér's V {}, PSI {}, Jensen-Shannon {}, p {:.1e}",
                number(drift.cramers_v),
                number(drift.psi.map(|psi| psi.value)),
                number(drift.js),
                drift.p_adjusted.unwrap_or(1.0)
            ),
        },
    })
}

// === impl Alerts ===

impl Alerts {
    /// Takes what an evaluation found of some kinds: what is not among it was not there. Levels below 1 are not enough
    /// to raise an alert, and below 0.7 let one end.
    pub fn take(&mut self, kinds: &[&'static str], found: &[Found], now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for one in found.iter().filter(|one| one.level >= 1.0) {
            self.states.entry((one.feature.clone(), one.kind)).or_default();
        }
        let found: BTreeMap<_, _> = found.iter().map(|one| ((one.feature.as_str(), one.kind), one)).collect();
        for ((feature, kind), state) in &mut self.states {
            if kinds.contains(kind) {
                changes.extend(state.look(found.get(&(feature.as_str(), *kind)).copied(), now));
            }
        }
        self.states.retain(|_, state| state.alert.is_some() || state.gone == 0);
        changes
    }

    /// Those that are on, the strongest first.
    pub fn on(&self) -> Vec<&Alert> {
        let mut alerts: Vec<&Alert> = self.states.values().filter_map(|state| state.alert.as_ref()).collect();
        alerts.sort_by(|a, b| b.peak.total_cmp(&a.peak));
        alerts
    }

    /// Ends them all, as where nobody looks any more; what became of each.
    pub fn end(&mut self, now: u64) -> Vec<Change> {
        let alerts = std::mem::take(&mut self.states).into_values().filter_map(|state| state.alert);
        alerts
            .map(|alert| {
                let lasted = now.saturating_sub(alert.since);
                Change::Cleared(alert, lasted)
            })
            .collect()
    }
}

// === impl State ===

impl State {
    fn look(&mut self, found: Option<&Found>, now: u64) -> Option<Change> {
        let level = found.map_or(0.0, |found| found.level);
        self.seen = if level >= 1.0 { self.seen + 1 } else { 0 };
        self.gone = if level < CLEAR_BELOW { self.gone + 1 } else { 0 };
        match (&mut self.alert, found) {
            (Some(alert), Some(found)) if level >= CLEAR_BELOW => {
                alert.last = now;
                alert.peak = alert.peak.max(level);
                alert.detail.clone_from(&found.detail);
                None
            }
            (Some(alert), _) if self.gone >= CLEAR && now >= alert.since + DWELL => {
                let lasted = now - alert.since;
                self.alert.take().map(|alert| Change::Cleared(alert, lasted))
            }
            (None, Some(found)) if self.seen >= if found.at_once { 1 } else { RAISE } => {
                let alert = Alert {
                    feature: found.feature.clone(),
                    kind: found.kind,
                    since: now,
                    last: now,
                    peak: level,
                    detail: found.detail.clone(),
                };
                self.alert = Some(alert.clone());
                Some(Change::Raised(alert))
            }
            _ => None,
        }
    }
}
