//! What many sidecars see of features, looked at once for all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::complain;
use crate::cli::failure::Failure;
use crate::drift::{Alerts, Found, Limits};
use crate::monitor::fleet_drift::{Together, gather};
use crate::registry::store::Store;

/// The chance that a single look is wrong by.
const ONCE: f64 = 1e-3;

/// What was seen of each version, by model and number.
pub(super) struct Features {
    /// False alarms in thirty days; none where one looks only once.
    budget: Option<f64>,
    seen: BTreeMap<(String, String), Seen>,
}

#[derive(Default)]
struct Seen {
    alerts: Alerts,
    /// When the latest of it was published.
    at: u64,
    /// Features that were told of; none before the first time.
    told: Option<Vec<String>>,
}

// === impl Features ===

impl Features {
    pub(super) const fn new(budget: Option<f64>) -> Self {
        Self { budget, seen: BTreeMap::new() }
    }

    /// One look: for every version that something new came of, all that is known, and a line where that is news.
    pub(super) fn look(
        &mut self,
        store: &dyn Store,
        now: u64,
    ) -> Result<Vec<(Option<String>, Value)>, Failure> {
        let found = gather(store, now)?;
        let mut told: Vec<_> = found.iter().filter_map(|one| self.look_at(one, now)).collect();
        self.seen.retain(|(model, version), _| {
            let stays =
                found.iter().any(|one| (&one.counted.model, &one.counted.version) == (model, version));
            if !stays {
                let line = format!("{model} {version}: nobody publishes a window of it any more");
                told.push((Some(line), json!({"model": model, "version": version, "processes": 0})));
            }
            stays
        });
        Ok(told)
    }

    fn look_at(&mut self, one: &Together, now: u64) -> Option<(Option<String>, Value)> {
        let counted = &one.counted;
        one.problems.iter().for_each(|problem| complain(&format!("sidegate: {problem}\n")));
        let seen = self.seen.entry((counted.model.clone(), counted.version.clone())).or_default();
        // Rows that were looked at are no news.
        let apart = one.at.saturating_sub(std::mem::replace(&mut seen.at, one.at));
        if apart == 0 {
            return None;
        }
        let once = Limits { alpha: ONCE };
        let limits = self.budget.map_or(once, |budget| Limits::of(budget, apart.min(60_000) as f64));
        let found = Found::all(&counted.evaluate(limits));
        let on: Vec<(String, String)> = match self.budget {
            None => {
                let beyond = found.iter().filter(|one| one.level >= 1.0);
                beyond.map(|one| (one.feature.clone(), one.detail.clone())).collect()
            }
            Some(_) => {
                seen.alerts.take(Found::DRIFTS, &found, now);
                let alerts = seen.alerts.on();
                alerts.iter().map(|alert| (alert.feature.clone(), alert.detail.clone())).collect()
            }
        };
        let name = format!("{} {}", counted.model, counted.version);
        let drifting: Vec<String> =
            on.iter().map(|(feature, detail)| format!("{feature} ({detail})")).collect();
        let said = if drifting.is_empty() {
            "nothing drifts".into()
        } else {
            format!("drift of {}", drifting.join(", "))
        };
        let line = format!("{name}: {} rows of {} processes, {said}", counted.window.rows, one.replicas);
        let view = json!({
            "model": counted.model,
            "version": counted.version,
            "processes": one.replicas,
            "window_rows": counted.window.rows,
            "drifting": on.iter().map(|(feature, detail)| json!({"feature": feature, "detail": detail})).collect::<Vec<_>>(),
            "problems": one.problems,
        });
        let features = Some(on.into_iter().map(|(feature, _)| feature).collect());
        let news = seen.told != features;
        seen.told = features;
        Some((news.then_some(line), view))
    }
}
