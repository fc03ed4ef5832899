//! Every metric: name, help, labels and buckets, declared here and nowhere else.
//!
//! A version's series are looked up once, when it loads ([`VersionMetrics`]), so that the data path touches
//! only atomics. Labels come from the registry and the configuration, never from a request.

mod drift;
mod performance;
mod totals;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::model::REASONS;
use drift::Drifts;
pub use drift::Score;
pub use performance::Performances;
pub use totals::Totals;

/// Latency buckets in seconds, 5 µs to 10 s in 1-2-5 steps.
const LATENCY_BUCKETS: [f64; 20] = [
    5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0,
    5.0, 10.0,
];

/// Label value for models and versions beyond `metrics.max_series`.
const OTHER: &str = "__other__";

/// Label sets of a model's loads: two results, every reason, swaps.
const MODEL_SERIES: usize = 3 + REASONS.len();

/// How a request ended; the `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with a prediction.
    Ok,
    /// Refused because of what the client sent.
    ClientError,
    /// Failed here.
    Error,
    /// Refused because of overload.
    Shed,
    /// Past its deadline.
    Timeout,
}

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Ok, "ok"),
    (Outcome::ClientError, "client_error"),
    (Outcome::Error, "error"),
    (Outcome::Shed, "shed"),
    (Outcome::Timeout, "timeout"),
];

impl Outcome {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        OUTCOMES[self as usize].1
    }
}

/// What may become of a copy; the `result` label of shadows.
const SHADOW_RESULTS: [&str; 3] = ["compared", "failed", "dropped"];

/// What may become of an event for the webhook; the `result` label.
const WEBHOOK_RESULTS: [&str; 4] = ["delivered", "refused", "failed", "dropped"];

/// What a stage of a request is called; the `stage` label.
const STAGES: [&str; 4] = ["decode", "queue", "infer", "encode"];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    predictions: IntCounterVec,
    rows: IntCounterVec,
    duration: HistogramVec,
    stages: HistogramVec,
    loads: IntCounterVec,
    load_failures: IntCounterVec,
    swaps: IntCounterVec,
    assignments: IntCounterVec,
    shadows: IntCounterVec,
    drift_scores: GaugeVec,
    drift_p_values: GaugeVec,
    drift_alerts: IntGaugeVec,
    /// What the three above have of each version.
    drifts: Mutex<BTreeMap<(String, String), Drifts>>,
    performances: performance::Series,
    info: IntGaugeVec,
    dropped_labels: IntCounter,
    /// Label sets in use by models and versions, against `metrics.max_series`.
    series: AtomicUsize,
    /// Whether a model's loads are counted under its own name.
    models: Mutex<BTreeMap<String, bool>>,
    /// 1 while the registry answers.
    pub registry_up: IntGauge,
    /// Questions without an answer.
    registry_errors: IntCounterVec,
    /// Seconds since the registry last answered, or since the start if it never did.
    pub registry_staleness: Gauge,
    /// Requests whose head was read and that are not yet answered.
    pub inflight: IntGauge,
    /// Open connections of the data port.
    pub connections: IntGauge,
    /// Requests refused before a model was known, by status.
    pub http_errors: IntCounterVec,
    /// Configuration reloads by result.
    pub config_reloads: IntCounterVec,
    /// Panics caught on the data path.
    pub panics: IntCounter,
    /// Outcomes that were posted, by what became of them.
    pub outcomes: IntCounterVec,
    /// Requests of experiments that were not counted because the monitor did not keep up.
    pub records_dropped: IntCounter,
    /// Rows that the monitor was shown faster than it looked.
    pub monitor_dropped: IntCounter,
    /// Bytes of what is known of features.
    pub monitor_bytes: IntGauge,
    monitor_lag: Gauge,
    /// When the monitor last took what it was shown, in milliseconds since `started`.
    drained: AtomicU64,
    started: Instant,
    /// Events for the webhook, by what became of them.
    pub webhook: WebhookCounts,
    webhooks: IntCounterVec,
    /// Predictions that gave way before their actual came.
    pub pending_evicted: IntCounter,
    /// Requests and outcomes in segments of the prediction log that were written.
    pub logged: IntCounter,
    /// Those that were to be logged and are not.
    pub log_dropped: IntCounter,
    /// Segments that could not be written at once.
    pub log_failures: IntCounter,
}

/// Answered requests by outcome.
#[derive(Clone)]
pub struct Outcomes([IntCounter; OUTCOMES.len()]);

/// Requests to a model with an experiment, by the reason that decided: one series of each.
#[derive(Clone)]
pub struct Assignments(Vec<IntCounter>);

/// Requests copied to a shadow, by what became of the copy.
#[derive(Clone)]
pub struct ShadowCounts {
    /// What it predicts was compared with the answer.
    pub compared: IntCounter,
    /// It failed.
    pub failed: IntCounter,
    /// Too many waited.
    pub dropped: IntCounter,
}

/// Events for the webhook, by what became of them.
#[derive(Clone)]
pub struct WebhookCounts {
    /// It was taken.
    pub delivered: IntCounter,
    /// The receiver wants none like it.
    pub refused: IntCounter,
    /// It was not taken within its time.
    pub failed: IntCounter,
    /// Too many waited.
    pub dropped: IntCounter,
}

/// One version's series.
#[derive(Clone)]
pub struct VersionMetrics {
    /// Its answers as no variant of an experiment.
    pub outcomes: Outcomes,
    /// Rows predicted.
    pub rows: IntCounter,
    /// Whole requests, in seconds.
    pub duration: Histogram,
    /// Decoding.
    pub decode: Histogram,
    /// Waiting for a turn.
    pub queue: Histogram,
    /// The engine's run.
    pub infer: Histogram,
    /// Encoding.
    pub encode: Histogram,
}

/// The labels of a version.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "one field per label")]
pub struct VersionLabels<'a> {
    pub model: &'a str,
    pub version: &'a str,
    pub stage: &'a str,
    pub engine: &'a str,
    pub digest: &'a str,
}

impl Metrics {
    /// All metrics, registered.
    ///
    /// # Errors
    /// When two declarations clash.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(None, None)?;
        let latency =
            |name: &str, help: &str| HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
        let counter =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let webhooks = counter(
            "sidegate_webhook_total",
            "Events for monitor.webhook_url, by what became of them: delivered, refused, failed, dropped",
            &["result"],
        )?;
        let [delivered, refused, failed, dropped] =
            WEBHOOK_RESULTS.map(|result| webhooks.with_label_values(&[result]));
        let metrics = Self {
            predictions: counter(
                "model_predictions_total",
                "Answered prediction requests by outcome: ok, client_error, error, shed, timeout",
                &["model", "version", "variant", "outcome"],
            )?,
            rows: counter("sidegate_prediction_rows_total", "Predicted rows", &["model", "version"])?,
            duration: HistogramVec::new(
                latency("model_prediction_duration_seconds", "Time from the whole request to its answer"),
                &["model", "version"],
            )?,
            stages: HistogramVec::new(
                latency("sidegate_stage_duration_seconds", "Time of one stage: decode, queue, infer, encode"),
                &["model", "stage"],
            )?,
            loads: counter(
                "sidegate_model_loads_total",
                "Attempts to load a version, by result",
                &["model", "result"],
            )?,
            load_failures: counter(
                "sidegate_model_load_failures_total",
                "Versions that were refused, by reason code",
                &["model", "reason"],
            )?,
            swaps: counter("sidegate_model_swaps_total", "Changes of the served version", &["model"])?,
            assignments: counter(
                "sidegate_experiment_assignments_total",
                "Requests to models with an experiment, by the variant that answers and why: enrolled, rule, hold_out, \
                 segment, no_unit, coverage, unassigned, fallback, rolled_back, promoted, ended",
                &["experiment", "variant", "reason"],
            )?,
            shadows: counter(
                "sidegate_shadow_total",
                "Requests copied to a shadow, by what became of the copy: compared, failed, dropped",
                &["experiment", "shadow", "result"],
            )?,
            drift_scores: GaugeVec::new(
                Opts::new(
                    "data_drift_score",
                    "How far a feature, or `prediction`, is from its reference: KS of numbers, chi-square of categories; \
                     of the 50 features that differ most and of those with an alert",
                ),
                &["model", "version", "feature"],
            )?,
            drift_p_values: GaugeVec::new(
                Opts::new(
                    "sidegate_drift_p_value",
                    "How likely as much of a difference is without drift, at one look at one feature; of the features of \
                     data_drift_score",
                ),
                &["model", "version", "feature"],
            )?,
            drift_alerts: IntGaugeVec::new(
                Opts::new("sidegate_drift_alert", "1 while an alert is on, by its feature and kind"),
                &["model", "version", "feature", "kind"],
            )?,
            drifts: Mutex::default(),
            performances: performance::Series::new()?,
            info: IntGaugeVec::new(
                Opts::new("sidegate_model_info", "1 for each loaded version, with what it is"),
                &["model", "version", "stage", "engine", "digest"],
            )?,
            dropped_labels: IntCounter::new(
                "sidegate_dropped_labels_total",
                "Models and versions counted under __other__ because metrics.max_series was reached",
            )?,
            series: AtomicUsize::new(0),
            models: Mutex::default(),
            registry_up: IntGauge::new("sidegate_registry_up", "1 while the registry answers")?,
            registry_errors: counter(
                "sidegate_registry_errors_total",
                "Questions that the registry did not answer, by reason: auth, throttled, unreachable, refused, local",
                &["reason"],
            )?,
            registry_staleness: Gauge::new(
                "sidegate_registry_staleness_seconds",
                "Seconds since the registry last answered, or since the start if it never did",
            )?,
            inflight: IntGauge::new(
                "sidegate_inflight_requests",
                "Requests whose head was read and that are not yet answered",
            )?,
            connections: IntGauge::new("sidegate_connections", "Open connections of the data port")?,
            http_errors: counter(
                "sidegate_http_errors_total",
                "Requests refused before a model was known, by status",
                &["status"],
            )?,
            config_reloads: counter(
                "sidegate_config_reloads_total",
                "Configuration reloads by result",
                &["result"],
            )?,
            panics: IntCounter::new(
                "sidegate_panics_total",
                "Panics that were caught while answering a request",
            )?,
            outcomes: counter(
                "sidegate_outcomes_total",
                "Outcomes that were posted, by what became of them: ok, duplicate, corrected, unmatched, late, \
                 not_enrolled, invalid, forged, expired, foreign",
                &["result"],
            )?,
            monitor_dropped: IntCounter::new(
                "sidegate_monitor_rows_dropped_total",
                "Rows that came faster than the monitor looked at them",
            )?,
            monitor_bytes: IntGauge::new(
                "sidegate_monitor_memory_bytes",
                "Memory of what is known of features: references and windows",
            )?,
            monitor_lag: Gauge::new(
                "sidegate_monitor_lag_seconds",
                "Seconds since the monitor last took the rows that it was shown: how old the oldest that waits may be",
            )?,
            drained: AtomicU64::new(0),
            started: Instant::now(),
            webhook: WebhookCounts { delivered, refused, failed, dropped },
            webhooks,
            records_dropped: IntCounter::new(
                "sidegate_experiment_records_dropped_total",
                "Requests of experiments that were not counted because they came faster than the monitor counts",
            )?,
            pending_evicted: IntCounter::new(
                "sidegate_pending_evicted_total",
                "Predictions that gave way to newer ones before their actual came (monitor.max_bytes)",
            )?,
            logged: IntCounter::new(
                "sidegate_prediction_log_written_total",
                "Requests and outcomes in segments of the prediction log that were written",
            )?,
            log_dropped: IntCounter::new(
                "sidegate_prediction_log_dropped_total",
                "Requests and outcomes that were to be logged and found no room (prediction_log.max_bytes)",
            )?,
            log_failures: IntCounter::new(
                "sidegate_prediction_log_write_failures_total",
                "Attempts to write a segment of the prediction log that failed; it is tried again",
            )?,
            registry,
        };
        let build = IntGaugeVec::new(
            Opts::new("sidegate_build_info", "1, with the version of sidegate"),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let all: Vec<Box<dyn Collector>> = vec![
            Box::new(metrics.predictions.clone()),
            Box::new(metrics.rows.clone()),
            Box::new(metrics.duration.clone()),
            Box::new(metrics.stages.clone()),
            Box::new(metrics.loads.clone()),
            Box::new(metrics.load_failures.clone()),
            Box::new(metrics.swaps.clone()),
            Box::new(metrics.assignments.clone()),
            Box::new(metrics.shadows.clone()),
            Box::new(metrics.drift_scores.clone()),
            Box::new(metrics.drift_p_values.clone()),
            Box::new(metrics.drift_alerts.clone()),
            Box::new(metrics.monitor_dropped.clone()),
            Box::new(metrics.monitor_bytes.clone()),
            Box::new(metrics.monitor_lag.clone()),
            Box::new(metrics.webhooks.clone()),
            Box::new(metrics.info.clone()),
            Box::new(metrics.dropped_labels.clone()),
            Box::new(metrics.registry_up.clone()),
            Box::new(metrics.registry_errors.clone()),
            Box::new(metrics.registry_staleness.clone()),
            Box::new(metrics.inflight.clone()),
            Box::new(metrics.connections.clone()),
            Box::new(metrics.http_errors.clone()),
            Box::new(metrics.config_reloads.clone()),
            Box::new(metrics.panics.clone()),
            Box::new(metrics.outcomes.clone()),
            Box::new(metrics.records_dropped.clone()),
            Box::new(metrics.pending_evicted.clone()),
            Box::new(metrics.logged.clone()),
            Box::new(metrics.log_dropped.clone()),
            Box::new(metrics.log_failures.clone()),
        ];
        for reason in ["auth", "throttled", "unreachable", "refused", "local"] {
            metrics.registry_errors.with_label_values(&[reason]);
        }
        for collector in all.into_iter().chain(metrics.performances.collectors()) {
            metrics.registry.register(collector)?;
        }
        metrics.registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The series of a version, all at zero from the start so that rates are right from the first request.
    pub fn version(&self, labels: &VersionLabels<'_>, max_series: usize) -> VersionMetrics {
        let (mut model, mut version) = (labels.model, labels.version);
        // Five outcomes, rows, duration and info of the version, four stages of the model.
        if self.series.fetch_add(8, Ordering::Relaxed) + 12 > max_series {
            (model, version) = (OTHER, OTHER);
            self.dropped_labels.inc();
        } else {
            self.info.with_label_values(&[model, version, labels.stage, labels.engine, labels.digest]).set(1);
        }
        let stage = |name| self.stages.with_label_values(&[model, name]);
        VersionMetrics {
            outcomes: self.outcomes(model, version, ""),
            rows: self.rows.with_label_values(&[model, version]),
            duration: self.duration.with_label_values(&[model, version]),
            decode: stage(STAGES[0]),
            queue: stage(STAGES[1]),
            infer: stage(STAGES[2]),
            encode: stage(STAGES[3]),
        }
    }

    fn outcomes(&self, model: &str, version: &str, variant: &str) -> Outcomes {
        let series = |(_, name)| self.predictions.with_label_values(&[model, version, variant, name]);
        Outcomes(OUTCOMES.map(series))
    }

    /// The series of a version as a variant of an experiment.
    pub fn variant(&self, model: &str, version: &str, variant: &str, max_series: usize) -> Outcomes {
        if self.series.fetch_add(OUTCOMES.len(), Ordering::Relaxed) + OUTCOMES.len() > max_series {
            self.dropped_labels.inc();
            return self.outcomes(OTHER, OTHER, OTHER);
        }
        self.outcomes(model, version, variant)
    }

    /// Drops the series of a version that is no variant any more.
    pub fn forget_variant(&self, model: &str, version: &str, variant: &str) {
        self.series.fetch_sub(OUTCOMES.len(), Ordering::Relaxed);
        for (_, outcome) in OUTCOMES {
            drop(self.predictions.remove_label_values(&[model, version, variant, outcome]));
        }
    }

    /// The series of an experiment's variant; `variant` is empty for what the plain name means. Variants and reasons are
    /// few, and an experiment's counts outlive its changes.
    pub fn assignments<'a>(
        &self,
        experiment: &str,
        variant: &str,
        reasons: impl Iterator<Item = &'a str>,
    ) -> Assignments {
        let series = |reason| self.assignments.with_label_values(&[experiment, variant, reason]);
        Assignments(reasons.map(series).collect())
    }

    /// The series of an experiment's shadow.
    pub fn shadow(&self, experiment: &str, shadow: &str) -> ShadowCounts {
        let [compared, failed, dropped] =
            SHADOW_RESULTS.map(|result| self.shadows.with_label_values(&[experiment, shadow, result]));
        ShadowCounts { compared, failed, dropped }
    }

    /// Drops the series of a shadow that is none any more.
    pub fn forget_shadow(&self, experiment: &str, shadow: &str) {
        for result in SHADOW_RESULTS {
            drop(self.shadows.remove_label_values(&[experiment, shadow, result]));
        }
    }

    /// Drops the series of an experiment that has ended.
    pub fn forget_assignments<'a>(
        &self,
        experiment: &str,
        variant: &str,
        reasons: impl Iterator<Item = &'a str>,
    ) {
        for reason in reasons {
            drop(self.assignments.remove_label_values(&[experiment, variant, reason]));
        }
    }

    /// Drops the series of a version that is gone, so that thousands of swaps do not pile up.
    pub fn forget_version(&self, labels: &VersionLabels<'_>) {
        self.forget_content(labels);
        // A series under `__other__` is not there by its own name; that is fine.
        for (_, outcome) in OUTCOMES {
            drop(self.predictions.remove_label_values(&[labels.model, labels.version, "", outcome]));
        }
        drop(self.rows.remove_label_values(&[labels.model, labels.version]));
        drop(self.duration.remove_label_values(&[labels.model, labels.version]));
    }

    /// Ends the info series of a version whose files were replaced: its counts go on with the new content, which has
    /// room for its series.
    pub fn forget_content(&self, labels: &VersionLabels<'_>) {
        self.series.fetch_sub(8, Ordering::Relaxed);
        let VersionLabels { model, version, stage, engine, digest } = *labels;
        drop(self.info.remove_label_values(&[model, version, stage, engine, digest]));
    }

    /// Moves the info series of a version to another stage.
    pub fn restage(&self, old: &VersionLabels<'_>, stage: &str) {
        let labels = [old.model, old.version, old.stage, old.engine, old.digest];
        if self.info.remove_label_values(&labels).is_ok() {
            self.info.with_label_values(&[old.model, old.version, stage, old.engine, old.digest]).set(1);
        }
    }

    /// Counts a load attempt; `reason` is the published code of a refusal.
    pub fn count_load(&self, model: &str, reason: Option<crate::model::Reason>) {
        let result = if reason.is_some() { "error" } else { "ok" };
        let model = self.label(model);
        self.loads.with_label_values(&[model, result]).inc();
        if let Some(reason) = reason {
            self.load_failures.with_label_values(&[model, reason.name()]).inc();
        }
    }

    /// Counts a question that the registry did not answer.
    pub fn count_registry_error(&self, reason: &str) {
        self.registry_errors.with_label_values(&[reason]).inc();
    }

    /// Makes a model's load series visible before anything was loaded. They may take half of the room: what a version
    /// answers is worth more. A model that was not announced is counted under `__other__`, so that a registry may have
    /// thousands of which this process serves a few.
    pub fn announce_model(&self, model: &str, max_series: usize) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains_key(model) {
            return;
        }
        let own = models.values().filter(|own| **own).count();
        let fits = (own + 1) * MODEL_SERIES <= max_series / 2;
        models.insert(model.to_owned(), fits);
        drop(models);
        if !fits {
            self.dropped_labels.inc();
            return;
        }
        self.series.fetch_add(MODEL_SERIES, Ordering::Relaxed);
        for result in ["ok", "error"] {
            self.loads.with_label_values(&[model, result]);
        }
        for reason in REASONS {
            self.load_failures.with_label_values(&[model, reason.name()]);
        }
        self.swaps.with_label_values(&[model]);
    }

    /// Drops the series of a model that is gone, so that thousands of models which come and go do not pile up.
    pub fn forget_model(&self, model: &str) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let announced = models.remove(model);
        drop(models);
        for stage in STAGES {
            drop(self.stages.remove_label_values(&[model, stage]));
        }
        if announced != Some(true) {
            return;
        }
        self.series.fetch_sub(MODEL_SERIES, Ordering::Relaxed);
        for result in ["ok", "error"] {
            drop(self.loads.remove_label_values(&[model, result]));
        }
        for reason in REASONS {
            drop(self.load_failures.remove_label_values(&[model, reason.name()]));
        }
        drop(self.swaps.remove_label_values(&[model]));
    }

    fn label<'a>(&self, model: &'a str) -> &'a str {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.get(model) == Some(&true) { model } else { OTHER }
    }

    /// Counts a change of the served version.
    pub fn count_swap(&self, model: &str) {
        self.swaps.with_label_values(&[self.label(model)]).inc();
    }

    /// Tells that the monitor has taken what it was shown.
    pub fn monitor_drained(&self) {
        self.drained.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        // A monitor that is stuck cannot say so itself.
        let drained = self.drained.load(Ordering::Relaxed) as f64 / 1000.0;
        self.monitor_lag.set((self.started.elapsed().as_secs_f64() - drained).max(0.0));
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        out
    }
}

impl Outcomes {
    /// Counts an answered request.
    #[inline]
    pub fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].inc();
    }
}

impl Assignments {
    /// Counts a request; `reason` is the position in the reasons that the series were made with.
    #[inline]
    pub fn count(&self, reason: usize) {
        if let Some(series) = self.0.get(reason) {
            series.inc();
        }
    }
}

#[cfg(test)]
mod tests;
