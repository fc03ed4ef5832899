//! All versions that are watched.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::fleet_drift::Published;
use super::publisher::{Job, Publisher};
use super::tap::Taps;
use super::watcher::Watcher;
use super::webhook::Webhook;
use crate::config::Config;
use crate::drift::{Change, Drift, Plan};
use crate::metrics::{Metrics, Score};
use crate::model::{ModelName, Version};
use crate::registry::layout;
use crate::serving::{ServedVersion, Serving};

/// Features of a version whose drift is a series: those with the largest effects, and twice as many with an alert.
const SERIES: usize = 50;
/// Between two looks at rates.
const RATE_MILLIS: u64 = 1000;

/// What the monitor's thread knows of features.
pub(super) struct Watchers {
    taps: Taps,
    config: Arc<ArcSwap<Config>>,
    serving: Arc<Serving>,
    metrics: Arc<Metrics>,
    webhook: Webhook,
    /// By the number of the version.
    watched: HashMap<u32, Watcher>,
    told_dropped: u64,
    rated_at: u64,
    /// Where windows are published, and the name of this process there.
    pub(super) publisher: Option<(Publisher, String)>,
    published_at: u64,
}

// === impl Watchers ===

impl Watchers {
    pub(super) fn new(
        taps: Taps,
        config: Arc<ArcSwap<Config>>,
        serving: Arc<Serving>,
        metrics: Arc<Metrics>,
        webhook: Webhook,
    ) -> Self {
        Self {
            taps,
            config,
            serving,
            metrics,
            webhook,
            watched: HashMap::new(),
            told_dropped: 0,
            rated_at: 0,
            publisher: None,
            published_at: 0,
        }
    }

    /// Takes what workers have shown.
    pub(super) fn drain(&mut self, now: u64) {
        self.metrics.monitor_drained();
        let plan = self.plan(self.watched.len());
        let watched = &mut self.watched;
        self.taps.drain(|id, row| {
            if let Some(watcher) = watched.get_mut(&id) {
                watcher.push(row, plan, now);
            }
        });
    }

    /// Follows what is served, looks where that is due, and tells.
    pub(super) fn tick(&mut self, now: u64) {
        self.follow(now);
        let plan = self.plan(self.watched.len());
        for watcher in self.watched.values_mut() {
            for change in watcher.look(plan, now) {
                tell(&self.metrics, &self.webhook, &watcher.version, &change);
            }
        }
        if now.saturating_sub(self.rated_at) >= RATE_MILLIS {
            let seconds = (now.saturating_sub(self.rated_at) as f64 / 1000.0).min(60.0);
            self.rated_at = now;
            self.rate(seconds);
            self.publish();
        }
        self.publish_windows(now, false);
    }

    /// Publishes the window of every version whose reference came with it: those of other replicas add to it.
    pub(super) fn publish_windows(&mut self, now: u64, closed: bool) {
        let interval = self.config.load().monitor.publish_interval.as_millis() as u64;
        let due = interval > 0 && (closed || now.saturating_sub(self.published_at) >= interval);
        let Some((publisher, replica)) = self.publisher.as_ref().filter(|_| due) else { return };
        self.published_at = now;
        // What hours of the clock are held against is each process's own.
        let shared =
            |watcher: &&Watcher| watcher.version.watch.reference.is_some() && !watcher.watching.hours();
        for watcher in self.watched.values().filter(shared) {
            let Some(counted) = watcher.counted().filter(|counted| counted.window.rows > 0) else { continue };
            let key = layout::drift_window(&counted.model, &counted.version, replica);
            let published = Published::new(replica, now, closed, counted);
            publisher.submit(Job::Put(key, published.to_bytes()));
        }
    }

    /// How versions are watched, where there are so many.
    fn plan(&self, versions: usize) -> Plan {
        let monitor = &self.config.load().monitor;
        Plan {
            learn_rows: monitor.learn_rows,
            window_rows: monitor.window_rows,
            window_millis: 1000 * monitor.window_seconds,
            same_hour: monitor.same_hour,
            false_alarms: monitor.false_alarms as f64,
            // What is left of the budget is for each alike: none takes it all.
            max_bytes: monitor.max_bytes / 2 / versions.max(1),
        }
    }

    /// Watches every version that is loaded, and forgets those that are not.
    fn follow(&mut self, now: u64) {
        let snapshot = self.serving.snapshot.load_full();
        let on = self.config.load().monitor.drift;
        let served = snapshot.versions().filter(|_| on);
        let numbers: HashMap<u32, Arc<ServedVersion>> =
            served.map(|version| (version.watch.id, version.clone())).collect();
        let gone: Vec<u32> = self.watched.keys().copied().filter(|id| !numbers.contains_key(id)).collect();
        for mut watcher in gone.iter().filter_map(|id| self.watched.remove(id)) {
            watcher.version.watch.ask(0);
            // Whoever was told that something is wrong waits to hear that it is over.
            for change in watcher.watching.end(now) {
                tell(&self.metrics, &self.webhook, &watcher.version, &change);
            }
            self.metrics.forget_drift(watcher.version.model.as_str(), &watcher.version.version.to_string());
        }
        let plan = self.plan(numbers.len());
        for (id, version) in numbers {
            self.watched.entry(id).or_insert_with(|| {
                let watcher = Watcher::new(version, plan);
                watcher.version.watch.ask(u32::from(watcher.watching.wants_rows()));
                watcher
            });
        }
    }

    /// Keeps every version to the rows that are worth looking at.
    fn rate(&mut self, seconds: f64) {
        let most = self.config.load().monitor.max_rows_per_s as f64;
        for watcher in self.watched.values_mut() {
            let shown = std::mem::take(&mut watcher.fresh) as f64 / seconds;
            let every = f64::from(watcher.version.watch.every().max(1));
            // Of all that come, as many as are wanted; slowly, where there are few.
            let wanted = (shown * every / most).ceil().clamp(1.0, 1e6) as u32;
            watcher.version.watch.ask(if watcher.watching.wants_rows() { wanted } else { 0 });
        }
    }

    fn publish(&mut self) {
        let dropped = self.taps.dropped();
        self.metrics.monitor_dropped.inc_by(dropped - std::mem::replace(&mut self.told_dropped, dropped));
        self.metrics
            .monitor_bytes
            .set(self.watched.values().map(|watcher| watcher.watching.bytes()).sum::<usize>() as i64);
        for watcher in self.watched.values() {
            let Some(evaluation) = watcher.watching.evaluation() else { continue };
            let alerts = watcher.watching.alerts().on();
            let mut drifts: Vec<_> = evaluation.features.iter().chain(&evaluation.prediction).collect();
            drifts.sort_by(|a, b| b.effect.total_cmp(&a.effect));
            let alerted: HashSet<&str> =
                alerts.iter().take(2 * SERIES).map(|alert| alert.feature.as_str()).collect();
            let told = drifts
                .iter()
                .enumerate()
                .filter(|(at, drift)| *at < SERIES || alerted.contains(drift.feature.as_str()));
            let scores: Vec<Score<'_>> = told
                .filter_map(|(_, Drift { feature, statistic, p_value, .. })| {
                    Some(Score { feature, statistic: (*statistic)?, p_value: *p_value })
                })
                .collect();
            let (model, version) = (&watcher.version.model, watcher.version.version.to_string());
            self.metrics.drift_scores(model.as_str(), &version, &scores);
        }
    }

    /// Every watched version.
    pub(super) fn list(&self) -> Value {
        let mut versions: Vec<&Watcher> = self.watched.values().collect();
        versions.sort_by_key(|watcher| (watcher.version.model.clone(), watcher.version.version));
        let on = self.config.load().monitor.drift;
        json!({"on": on, "versions": versions.iter().map(|watcher| watcher.summary()).collect::<Vec<_>>()})
    }

    /// What is known of a version, by default of the one that the model's name means.
    pub(super) fn report(&self, model: &ModelName, version: Option<Version>) -> Option<Value> {
        let now = time::OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        Some(self.of(model, version)?.report(now))
    }

    /// The reference and the window of that version.
    pub(super) fn profile(&self, model: &ModelName, version: Option<Version>) -> Option<Value> {
        serde_json::to_value(self.of(model, version)?.counted()?).ok()
    }

    fn of(&self, model: &ModelName, version: Option<Version>) -> Option<&Watcher> {
        let snapshot = self.serving.snapshot.load();
        let served = snapshot.models.get(model)?;
        let version = match version {
            Some(version) => &served.versions.get(&version)?.1,
            None => served.default.as_ref()?,
        };
        self.watched.get(&version.watch.id)
    }
}

fn tell(metrics: &Metrics, webhook: &Webhook, version: &ServedVersion, change: &Change) {
    let (model, number) = (&version.model, version.version.get());
    webhook.alert(model, version.version, change);
    match change {
        Change::Raised(alert) => {
            metrics.drift_alert(model.as_str(), &number.to_string(), &alert.feature, alert.kind, true);
            tracing::warn!(
                %model, version = number, feature = alert.feature, kind = alert.kind, detail = alert.detail,
                "an alert was raised"
            );
        }
        Change::Cleared(alert, lasted) => {
            metrics.drift_alert(model.as_str(), &number.to_string(), &alert.feature, alert.kind, false);
            let lasted_s = lasted / 1000;
            tracing::info!(
                %model, version = number, feature = alert.feature, kind = alert.kind, lasted_s,
                "an alert is over"
            );
        }
    }
}
