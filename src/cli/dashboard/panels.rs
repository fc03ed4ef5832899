//! What a dashboard shows of a model, as a table. `MODEL` and `ALL` in a query stand for what its series are chosen by:
//! those of the model, and those of the sidecars that have it.

/// Panels below one heading.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

/// One picture.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
    /// As Grafana calls it.
    pub(super) unit: &'static str,
    /// Of the 24 columns of a row, which its panels fill.
    pub(super) width: u32,
    /// What is red, from this value on.
    pub(super) red: Option<f64>,
    pub(super) queries: &'static [Query],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One number.
    Stat,
    /// A line for each series.
    Lines,
    /// Areas upon each other, the whole of which means something.
    Stacked,
    /// The buckets of a histogram by time.
    Buckets,
    /// A row of cells for each series.
    Cells,
    /// What holds now, one line for each series.
    Table,
}

/// PromQL, and what a series is called.
pub(super) struct Query(pub(super) &'static str, pub(super) &'static str);

/// A panel without anything red.
const fn panel(
    title: &'static str,
    (kind, unit, width): (Kind, &'static str, u32),
    about: &'static str,
    queries: &'static [Query],
) -> Panel {
    Panel { title, about, kind, unit, width, red: None, queries }
}

/// The same where values from `red` on call for somebody.
const fn watched(
    title: &'static str,
    (unit, width, red): (&'static str, u32, f64),
    about: &'static str,
    queries: &'static [Query],
) -> Panel {
    Panel { title, about, kind: Kind::Stat, unit, width, red: Some(red), queries }
}

use Kind::{Buckets, Cells, Lines, Stacked, Stat, Table};

pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "Now",
        panels: &[
            panel(
                "Requests",
                (Stat, "reqps", 4),
                "Answered requests a second.",
                &[Query("sum(rate(model_predictions_total{MODEL}[$__rate_interval]))", "")],
            ),
            watched(
                "Failed",
                ("percentunit", 4, 0.01),
                "Requests that got no prediction through no fault of their own.",
                &[Query(
                    "sum(rate(model_predictions_total{MODEL,outcome=~\"error|timeout|shed\"}[$__rate_interval])) \
                 / sum(rate(model_predictions_total{MODEL}[$__rate_interval]))",
                    "",
                )],
            ),
            panel(
                "99th percentile",
                (Stat, "s", 4),
                "From the whole request to its answer.",
                &[Query(
                    "histogram_quantile(0.99, sum by (le) (rate(model_prediction_duration_seconds_bucket{MODEL}[$__rate_interval])))",
                    "",
                )],
            ),
            watched(
                "Alerts",
                ("none", 4, 1.0),
                "Features whose data is broken or drifts.",
                &[Query(
                    "count(max by (version, feature, kind) (sidegate_drift_alert{MODEL} == 1)) or vector(0)",
                    "",
                )],
            ),
            panel(
                "Sidecars",
                (Stat, "none", 4),
                "Those that have a version of the model.",
                &[Query("count(count by (job, instance) (sidegate_model_info{MODEL}))", "")],
            ),
            watched(
                "Registry",
                ("s", 4, 3600.0),
                "How long the one that waits longest has not heard of its registry.",
                &[Query("max(sidegate_registry_staleness_seconds{ALL})", "")],
            ),
        ],
    },
    Section {
        title: "Model",
        panels: &[
            panel(
                "Prediction Volume",
                (Lines, "reqps", 12),
                "Answered requests a second, by version and variant of an experiment.",
                &[Query(
                    "sum by (version, variant) (rate(model_predictions_total{MODEL}[$__rate_interval]))",
                    "{{version}} {{variant}}",
                )],
            ),
            panel(
                "Prediction Latency",
                (Lines, "s", 12),
                "From the whole request to its answer.",
                &[
                    Query(
                        "histogram_quantile(0.5, sum by (le, version) (rate(model_prediction_duration_seconds_bucket{MODEL}[$__rate_interval])))",
                        "{{version}} p50",
                    ),
                    Query(
                        "histogram_quantile(0.95, sum by (le, version) (rate(model_prediction_duration_seconds_bucket{MODEL}[$__rate_interval])))",
                        "{{version}} p95",
                    ),
                    Query(
                        "histogram_quantile(0.99, sum by (le, version) (rate(model_prediction_duration_seconds_bucket{MODEL}[$__rate_interval])))",
                        "{{version}} p99",
                    ),
                ],
            ),
            panel(
                "Model Accuracy",
                (Lines, "percentunit", 12),
                "The share of right classes among the last hour's predictions that have an actual; of numbers, R² (the share of \
                 their variance that is predicted).",
                &[Query(
                    "avg by (version) (model_accuracy{MODEL}) or avg by (version) (sidegate_performance{MODEL,metric=\"r2\"})",
                    "{{version}}",
                )],
            ),
            panel(
                "Data Drift Score",
                (Lines, "none", 12),
                "How far features, and `prediction`, are from their reference: KS of numbers, χ² of categories. Of the features that differ most.",
                &[Query("max by (version, feature) (data_drift_score{MODEL})", "{{feature}} {{version}}")],
            ),
        ],
    },
    Section {
        title: "Traffic",
        panels: &[
            panel(
                "Answers",
                (Stacked, "reqps", 12),
                "By outcome: a prediction, a fault of the client, of the engine, shed because of overload, too late.",
                &[Query(
                    "sum by (outcome) (rate(model_predictions_total{MODEL}[$__rate_interval]))",
                    "{{outcome}}",
                )],
            ),
            panel(
                "Errors",
                (Lines, "percentunit", 12),
                "The share of answers without a prediction, by version and variant.",
                &[Query(
                    "sum by (version, variant) (rate(model_predictions_total{MODEL,outcome!=\"ok\"}[$__rate_interval])) \
                 / sum by (version, variant) (rate(model_predictions_total{MODEL}[$__rate_interval]))",
                    "{{version}} {{variant}}",
                )],
            ),
            panel(
                "Latencies",
                (Buckets, "s", 12),
                "All answers by how long they took.",
                &[Query(
                    "sum by (le) (increase(model_prediction_duration_seconds_bucket{MODEL}[$__rate_interval]))",
                    "{{le}}",
                )],
            ),
            panel(
                "Stages",
                (Lines, "s", 12),
                "95th percentile of what a request consists of: decode, queue (waiting for its turn), infer, encode.",
                &[Query(
                    "histogram_quantile(0.95, sum by (le, stage) (rate(sidegate_stage_duration_seconds_bucket{MODEL}[$__rate_interval])))",
                    "{{stage}}",
                )],
            ),
            panel(
                "Rows",
                (Lines, "cps", 12),
                "Predicted rows a second.",
                &[Query(
                    "sum by (version) (rate(sidegate_prediction_rows_total{MODEL}[$__rate_interval]))",
                    "{{version}}",
                )],
            ),
            panel(
                "Versions",
                (Table, "none", 12),
                "What is loaded, and on how many sidecars.",
                &[Query("count by (version, stage, engine, digest) (sidegate_model_info{MODEL})", "")],
            ),
        ],
    },
    Section {
        title: "Data",
        panels: &[
            panel(
                "Drift by feature",
                (Cells, "none", 16),
                "How sure it is that a feature is not as in its reference: -log10 of its p-value, of numbers and categories alike.",
                &[Query(
                    "-log10(clamp_min(min by (feature) (sidegate_drift_p_value{MODEL}), 1e-12))",
                    "{{feature}}",
                )],
            ),
            panel(
                "Alerts that are on",
                (Table, "none", 8),
                "By feature and kind, and how many sidecars see it. `sidegate drift report` has the detail.",
                &[Query("count by (version, feature, kind) (sidegate_drift_alert{MODEL} == 1)", "")],
            ),
            panel(
                "Rows that the monitor dropped",
                (Lines, "cps", 8),
                "They came faster than it looks; nothing else is lost.",
                &[Query("sum(rate(sidegate_monitor_rows_dropped_total{ALL}[$__rate_interval]))", "dropped")],
            ),
            panel(
                "Lag of the monitor",
                (Lines, "s", 8),
                "How old the oldest row that waits may be, on the slowest sidecar.",
                &[Query("max(sidegate_monitor_lag_seconds{ALL})", "lag")],
            ),
            panel(
                "Memory of the monitor",
                (Lines, "bytes", 8),
                "References and windows of all models, on the fullest sidecar.",
                &[Query("max(sidegate_monitor_memory_bytes{ALL})", "references and windows")],
            ),
        ],
    },
    Section {
        title: "Outcomes",
        panels: &[
            panel(
                "Performance",
                (Lines, "none", 12),
                "Metrics of the last hour's predictions that have an actual; each sidecar knows its own (monitor.performance).",
                &[Query(
                    "avg by (version, metric) (sidegate_performance{MODEL,metric!=\"mean_error\"})",
                    "{{metric}} {{version}}",
                )],
            ),
            panel(
                "Label coverage",
                (Lines, "percentunit", 12),
                "The share of the last hour's predictions that has an actual.",
                &[Query("avg by (version) (sidegate_label_coverage_ratio{MODEL})", "{{version}}")],
            ),
            panel(
                "Label delay",
                (Lines, "s", 12),
                "From the last hour's predictions to their actuals, of those that came; of the slowest sidecar.",
                &[Query(
                    "max by (version, quantile) (sidegate_label_delay_seconds{MODEL})",
                    "{{version}} quantile {{quantile}}",
                )],
            ),
            panel(
                "Outcomes",
                (Lines, "cps", 12),
                "What was posted, of all models, by what became of it.",
                &[Query(
                    "sum by (result) (rate(sidegate_outcomes_total{ALL}[$__rate_interval]))",
                    "{{result}}",
                )],
            ),
        ],
    },
    Section {
        title: "Experiments of these sidecars",
        panels: &[
            panel(
                "Assignments",
                (Stacked, "reqps", 12),
                "Requests by the variant that answers and the reason that decided.",
                &[Query(
                    "sum by (experiment, variant, reason) (rate(sidegate_experiment_assignments_total{ALL}[$__rate_interval]))",
                    "{{experiment}}: {{variant}} {{reason}}",
                )],
            ),
            panel(
                "Shadows",
                (Lines, "reqps", 12),
                "Copies of requests, by what became of them.",
                &[Query(
                    "sum by (experiment, shadow, result) (rate(sidegate_shadow_total{ALL}[$__rate_interval]))",
                    "{{experiment}}: {{shadow}} {{result}}",
                )],
            ),
        ],
    },
    Section {
        title: "Sidecars",
        panels: &[
            panel(
                "Loads",
                (Lines, "none", 8),
                "Attempts to load a version, refusals by their reason, and swaps of what serves.",
                &[
                    Query(
                        "sum by (result) (increase(sidegate_model_loads_total{MODEL}[$__rate_interval]))",
                        "load {{result}}",
                    ),
                    Query(
                        "sum by (reason) (increase(sidegate_model_load_failures_total{MODEL}[$__rate_interval])) > 0 \
                     or sum(increase(sidegate_model_load_failures_total{MODEL}[$__rate_interval]))",
                        "refused {{reason}}",
                    ),
                    Query("sum(increase(sidegate_model_swaps_total{MODEL}[$__rate_interval]))", "swap"),
                ],
            ),
            panel(
                "Registry",
                (Lines, "cps", 8),
                "Questions that it did not answer, by reason.",
                &[Query(
                    "sum by (reason) (rate(sidegate_registry_errors_total{ALL}[$__rate_interval]))",
                    "{{reason}}",
                )],
            ),
            panel(
                "Webhook",
                (Lines, "cps", 8),
                "Events for monitor.webhook_url, by what became of them.",
                &[Query(
                    "sum by (result) (rate(sidegate_webhook_total{ALL}[$__rate_interval]))",
                    "{{result}}",
                )],
            ),
            panel(
                "Processor",
                (Lines, "none", 8),
                "Processors in use, kernel included, by the busiest sidecar and on average.",
                &[
                    Query("max(rate(process_cpu_seconds_total{ALL}[$__rate_interval]))", "most"),
                    Query("avg(rate(process_cpu_seconds_total{ALL}[$__rate_interval]))", "average"),
                ],
            ),
            panel(
                "Memory",
                (Lines, "bytes", 8),
                "Resident memory of the largest sidecar and on average.",
                &[
                    Query("max(process_resident_memory_bytes{ALL})", "most"),
                    Query("avg(process_resident_memory_bytes{ALL})", "average"),
                ],
            ),
            panel(
                "In flight",
                (Lines, "none", 8),
                "Requests that are not yet answered, and open connections.",
                &[
                    Query("sum(sidegate_inflight_requests{ALL})", "requests"),
                    Query("sum(sidegate_connections{ALL})", "connections"),
                ],
            ),
        ],
    },
];
