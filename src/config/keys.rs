//! The table: every key, in the order of `config/sidegate.toml`.
//!
//! A row reads: documentation; `live` or `restart`; the key, its default, its allowed numbers; where its value
//! lives and how it is read. Adding a key is a row here and a field in [`super::Config`] (and its
//! `blank` placeholder). A key without effect must not exist.

use super::key::{
    Key, auto, by_url, duration, experiment_millis, keys, per_experiment, per_model, plain, switch,
};
use super::machine::Machine;

/// Every key of the configuration.
pub const KEYS: &[Key] = keys! {
    /// The model of the endpoints that name none (`/predict`, `/health`, `/model/info`, `/invocations`). A
    /// model's own `default = true` says the same. "" = the only model, if there is one.
    live default_model = "" => plain!(default_model);

    /// Where models come from: a folder, as a path or a `file:` URL; a bucket, as `s3://bucket/prefix`; the
    /// registry of an MLflow server, as `mlflow+http://host:5000`; or one model file, which is served as version
    /// 1 of a model named after it. Relative paths start at the working folder. Credentials come from where
    /// AWS's and MLflow's own tools look for them. `sagemaker:///opt/ml/models`, for which
    /// SAGEMAKER_MULTI_MODEL=true stands, is a folder below which SageMaker lays models and asks for them one by one
    /// (docs/deploy/sagemaker.md).
    restart registry.url = "models" => plain!(registry.url);
    /// URL of the object store of an s3: registry, such as "http://minio:9000". "" = AWS, or what the variable
    /// AWS_ENDPOINT_URL or the profile says.
    restart registry.endpoint = "" => plain!(registry.endpoint);
    /// Region of the bucket. "" = that of the environment or the profile, else us-east-1.
    restart registry.region = "" => plain!(registry.region);
    /// Whether the bucket stands in the path of a URL ("on") or in its host ("off"); "auto" = in the path where
    /// an endpoint is named.
    restart registry.path_style = "auto" => plain!(registry.path_style);
    /// Milliseconds between two looks at the registry, give or take 20 %. "auto" = 1000 for folders and files,
    /// 15000 for buckets, servers and SageMaker.
    live registry.poll_interval_ms = "auto" in 50..=3_600_000 => by_url!(registry.poll_interval);
    /// Names of the models to serve. [] = all that are found.
    live registry.models = [] => plain!(registry.models);
    /// Names of the models that must be loaded before sidegate is ready. [] = those named in
    /// registry.models; where that names none either, sidegate is ready when every model was tried and at
    /// least one is served.
    live registry.required = [] => plain!(registry.required);
    /// The largest number of models served; more are reported, not served. SageMaker is told to unload others first.
    live registry.max_models = 32 in 1..=4096 => plain!(registry.max_models);
    /// Milliseconds that must pass between two swaps of one model; a rollback does not wait. "auto" = 0 for
    /// folders and files, 5000 for buckets.
    live registry.min_swap_interval_ms = "auto" in 0..=86_400_000 => by_url!(registry.min_swap_interval);
    /// Number of former versions of a model that stay loaded for rollback, memory allowing.
    live registry.keep_previous = 1 in 0..=16 => plain!(registry.keep_previous);
    /// Whether loading is paced to leave the processor to requests: "on", "off", or "auto" = on under a CPU
    /// quota, which loading would use up.
    live registry.slow_load = "auto" => switch!(registry.slow_load, Machine::has_quota);
    /// Path of the folder for verified copies of what comes from a bucket, from which sidegate serves while the
    /// bucket is out of reach. "" = sidegate/registry in XDG_CACHE_HOME or ~/.cache; none where there is no home.
    restart registry.cache_dir = "" => plain!(registry.cache_dir);
    /// Bytes of all verified copies together; those that have been of no use for longest go first.
    restart registry.cache_max_bytes = 2_147_483_648 in 1_048_576..=1_099_511_627_776
        => plain!(registry.cache_max_bytes);
    /// Whether commands may write to a store that ignores the conditions of a write; true only where nobody
    /// else writes, because two writers could undo each other's work unseen.
    live registry.single_writer = false => plain!(registry.single_writer);
    /// Whether a version is loaded only with a valid signature of one of the keys in registry.public_keys_dir.
    restart registry.require_signature = false => plain!(registry.require_signature);
    /// Path of the folder of the public keys whose signatures count. "" = none, so that signatures are not
    /// looked at.
    restart registry.public_keys_dir = "" => plain!(registry.public_keys_dir);
    /// Whether a version is first loaded by a process of its own, so that one which ends the process or takes
    /// too much memory harms nothing: "on", "off", or "auto" = on where the system is Linux.
    live registry.trial_load = "auto" => plain!(registry.trial_load);
    /// Milliseconds of processor time that a trial load may take before the version is refused, and a fifth of what
    /// it may take by the clock: it gets what serving leaves of the processor.
    live registry.trial_timeout_ms = 60000 in 100..=3_600_000
        => duration!(registry.trial_timeout, from_millis, as_millis);
    /// Name of this process among those that serve the same registry; a staged rollout goes by its hash. "" =
    /// the name of the host, which in Kubernetes is that of the pod.
    restart registry.pod = "" => plain!(registry.pod);

    /// ADDRESS:PORT of the data port; port 0 takes a free one. Beyond loopback it should be guarded by
    /// auth.token_file.
    restart http.listen = "127.0.0.1:8000" => plain!(http.listen);
    /// Path of a Unix domain socket that serves the same as http.listen, at less cost. "" = off.
    restart http.uds = "" => plain!(http.uds);
    /// Number of data-path threads. "auto" = the CPU quota rounded up, 1 without a quota, never above 2.
    restart http.workers = "auto" in 1..=64 => auto!(http.workers, Machine::workers);
    /// Microseconds that an idle worker looks for work before it sleeps: less latency for more processor
    /// time, so it is refused under a CPU quota. 0 = off.
    restart http.busy_poll_us = 0 in 0..=1000 => duration!(http.busy_poll, from_micros, as_micros);
    /// Milliseconds a request may take in all. A client may ask for less with the header
    /// x-request-timeout-ms.
    live http.request_timeout_ms = 10000 in 1..=3_600_000
        => duration!(http.request_timeout, from_millis, as_millis);
    /// The largest number of open connections on the data port and its Unix domain socket.
    restart http.max_connections = 1024 in 1..=1_000_000 => plain!(http.max_connections);
    /// Milliseconds a request may wait for its turn before it is answered with 503. A CPU quota can stop
    /// the process for a period of 100 ms at a time, so less than that sheds load that could be served.
    live http.queue_wait_ms = 100 in 0..=60_000 => duration!(http.queue_wait, from_millis, as_millis);
    /// Whether `/v2/repository/models/NAME/load` and `…/unload` on the data port may load and unload what
    /// the registry holds; they never name a place or bring bytes.
    live http.repository_control = false => plain!(http.repository_control);
    /// Whether a request with NaN or an infinity is refused with 400; otherwise the model gets them.
    live http.reject_non_finite = false => plain!(http.reject_non_finite);

    /// Bytes of one request body, after decompression; more is answered with 413. Never above
    /// limits.inflight_bytes.
    live limits.body_bytes = 8_388_608 in 1024..=1_073_741_824 => plain!(limits.body_bytes);
    /// Bytes of all request bodies held at one time; more are answered with 503. "auto" = 1/8 of the memory
    /// limit, at most 256 MiB.
    live limits.inflight_bytes = "auto" in 1024..=1_099_511_627_776
        => auto!(limits.inflight_bytes, Machine::inflight_bytes);
    /// Rows of one request; more are answered with 400.
    live limits.max_rows = 10000 in 1..=100_000_000 => plain!(limits.max_rows);

    /// ADDRESS:PORT of the admin port: metrics, probes, models and the verbs. An address beyond loopback
    /// needs admin.token_file.
    restart admin.listen = "127.0.0.1:8002" => plain!(admin.listen);
    /// Path of a file of bearer tokens for the admin port: one a line, any of them is valid, lines that begin
    /// with `#` are comments. "" = none are asked for.
    restart admin.token_file = "" => plain!(admin.token_file);

    /// ADDRESS:PORT of a read-only port for the kubelet and Prometheus, which cannot reach loopback (for
    /// example "0.0.0.0:8003"): /metrics, /livez, /readyz, /startupz. "" = off.
    restart ops.listen = "" => plain!(ops.listen);

    /// Path of a file of bearer tokens for the data port, in the form of admin.token_file. "" = none are
    /// asked for.
    live auth.token_file = "" => plain!(auth.token_file);

    /// Engine of the models that choose none: "trees", "ort" (ONNX Runtime), "tract", or "auto" = trees if
    /// it runs the whole graph, else ort, else tract. Applies to versions loaded from then on.
    live engine.default = "auto" => plain!(engine.default);
    /// Path of libonnxruntime. "" = search: the variable ORT_DYLIB_PATH, lib/ of the working folder and
    /// beside the executable, an installed onnxruntime package, the system.
    restart engine.onnxruntime = "" => plain!(engine.onnxruntime);

    /// Bytes of memory for models; a load that would exceed it is refused with the estimate. "auto" = 80 %
    /// of the memory limit (of all memory with SAGEMAKER_MULTI_MODEL=true), none without a limit. 0 = none.
    live memory.budget_bytes = "auto" => auto!(memory.budget_bytes, Machine::budget_bytes);

    /// Milliseconds between the signal to stop, when sidegate stops being ready, and the drain, when it
    /// stops accepting: the time that a load balancer needs to notice (5000 in the plain Kubernetes
    /// layout).
    live shutdown.drain_delay_ms = 0 in 0..=3_600_000 => duration!(shutdown.drain_delay, from_millis, as_millis);
    /// Milliseconds that requests in flight get to finish, counted from the drain.
    live shutdown.timeout_ms = 20000 in 0..=3_600_000 => duration!(shutdown.timeout, from_millis, as_millis);

    /// The largest number of label sets in /metrics; what is beyond is counted under `__other__`.
    restart metrics.max_series = 5000 in 100..=1_000_000 => plain!(metrics.max_series);

    /// Form of the log on standard error: "text" or "json".
    restart log.format = "text" => plain!(log.format);
    /// The least severe lines that are written: "off", "error", "warn", "info", "debug", "trace".
    live log.level = "info" => plain!(log.level);

    /// Bytes of memory for predictions that wait for their actuals; the oldest give way, which is counted. Half as much
    /// again at most for what is known of features.
    restart monitor.max_bytes = 67_108_864 in 65536..=68_719_476_736 => plain!(monitor.max_bytes);
    /// Whether features and predictions are watched: broken data and drift, each named with its feature
    /// (docs/monitoring.md).
    live monitor.drift = true => plain!(monitor.drift);
    /// Whether predictions of every version wait for their actuals, so that it can be told how good they are
    /// (docs/monitoring.md). It takes as much as an experiment does; without it, only those wait that take part in one.
    live monitor.performance = false => plain!(monitor.performance);
    /// Rows that a version's reference is learned from, from its first request on.
    restart monitor.learn_rows = 2000 in 200..=100_000 => plain!(monitor.learn_rows);
    /// Rows of the window that is compared with the reference, the latest.
    restart monitor.window_rows = 2048 in 64..=1_000_000 => plain!(monitor.window_rows);
    /// Seconds that the window reaches back, whatever the rows. 0 = monitor.window_rows.
    restart monitor.window_seconds = 0 in 0..=2_678_400 => plain!(monitor.window_seconds);
    /// For features that follow the clock: windows are the hours of the clock, whatever monitor.window_rows and
    /// monitor.window_seconds say, each held against the same hour of last week, and only what is broken is told before. It
    /// takes a week to learn that, which a restart forgets; windows of replicas are not published.
    restart monitor.same_hour = false => plain!(monitor.same_hour);
    /// Rows a second of each version that are looked at; of more, every second, third and so on request.
    live monitor.max_rows_per_s = 2000 in 1..=1_000_000 => plain!(monitor.max_rows_per_s);
    /// False alarms of drift that a version may raise in thirty days, on average.
    live monitor.false_alarms_per_30_days = 1 in 1..=10_000 => plain!(monitor.false_alarms);
    /// Milliseconds between two times that windows of versions which came with their reference are published to the registry,
    /// for `sidegate monitor` to put together; it takes a right to write below `_drift/`. 0 = never.
    restart monitor.publish_interval_ms = 0 in 0..=86_400_000
        => duration!(monitor.publish_interval, from_millis, as_millis);
    /// URL that hears of every alert that is raised or over, and of decisions of experiments, as CloudEvents by POST
    /// (docs/monitoring.md), such as "http://alerts:8080/events". "" = none.
    restart monitor.webhook_url = "" => plain!(monitor.webhook_url);
    /// Path of a file of bearer tokens in the form of admin.token_file, the first of which it is sent; read anew for every
    /// event. "" = none is sent.
    restart monitor.webhook_token_file = "" => plain!(monitor.webhook_token_file);

    /// Where predictions are logged (docs/prediction-log.md), which keeps inputs and outputs of requests: a folder, or a
    /// bucket as s3://bucket/prefix, reached like that of the registry. It takes a right to write there, and no other.
    /// "" = off.
    restart prediction_log.url = "" => plain!(prediction_log.url);
    /// Names of the models whose predictions are logged. [] = all.
    live prediction_log.models = [] => plain!(prediction_log.models);
    /// Share of requests that are logged, chosen by a hash of their id, and with them the outcomes of the same ids.
    live prediction_log.sample = "100%" => plain!(prediction_log.sample);
    /// What is logged as null: names of columns, inputs and outputs, of one model as "MODEL:NAME"; "*" for all inputs, "id"
    /// for ids as well.
    live prediction_log.redact = [] => plain!(prediction_log.redact);
    /// What segments are: "ndjson", lines compressed by zstd, or "parquet", which only a build with the feature parquet
    /// writes.
    live prediction_log.format = "ndjson" => plain!(prediction_log.format);
    /// Bytes of memory for requests and segments that wait to be written; what finds no room is dropped, which is counted.
    live prediction_log.max_bytes = 33_554_432 in 1_048_576..=68_719_476_736 => plain!(prediction_log.max_bytes);
    /// Bytes of lines after which a segment is closed, before they are compressed.
    live prediction_log.segment_bytes = 4_194_304 in 65536..=1_073_741_824 => plain!(prediction_log.segment_bytes);
    /// Milliseconds after which a segment is closed that is not full, and so the most that is lost with the process.
    live prediction_log.segment_ms = 60000 in 100..=86_400_000
        => duration!(prediction_log.segment_time, from_millis, as_millis);

    /// Path of a file of the keys that sign receipts, the same for every replica: one a line, the first signs, the others
    /// are those of before. "" = no receipts.
    restart experiments.receipt_key_file = "" => plain!(trials.receipt_key_file);
    /// Milliseconds after which a receipt is too old.
    live experiments.receipt_max_age_ms = 7_776_000_000 in 1000..=34_560_000_000
        => duration!(trials.receipt_max_age, from_millis, as_millis);
    /// Whether no other process serves these experiments, so that this one may decide with `mode = "auto"`; otherwise
    /// `sidegate monitor` decides for all.
    live experiments.only_replica = false => plain!(trials.only_replica);
    /// Milliseconds between two times that what is known of experiments is published to the registry, which takes a right
    /// to write below `_experiments/`. 0 = never.
    restart experiments.publish_interval_ms = 0 in 0..=86_400_000
        => duration!(trials.publish_interval, from_millis, as_millis);

    /// Engine of this model, as engine.default. "" = engine.default. Applies to versions loaded from then
    /// on.
    live models.NAME.engine = "" => per_model!(engine);
    /// Whether this is the model of the endpoints that name none; true for at most one model.
    live models.NAME.default = false => per_model!(default);
    /// Whether a version whose inputs or outputs have other names or types may replace the served one,
    /// though its manifest does not say `breaking`.
    live models.NAME.allow_breaking = false => per_model!(allow_breaking);
    /// Rows of one request to this model, in place of limits.max_rows. 0 = limits.max_rows.
    live models.NAME.max_rows = 0 in 0..=100_000_000 => per_model!(max_rows);
    /// Rows of the second warm-up run before a version serves (the first has one row); never more than a
    /// request may have.
    live models.NAME.warmup_rows = 16 in 1..=100_000 => per_model!(warmup_rows);
    /// What a version has to show before it serves, besides golden examples, agreement of engines and the
    /// warm-up, which always hold: "interface", "shape", "range", "determinism", "edge_cases" (docs/test.md;
    /// `sidegate test` runs them on any file). [] = nothing more. Applies to versions loaded from then on.
    live models.NAME.checks = [] => per_model!(checks);
    /// Where the predictions of this model lie, as "MIN..MAX" with both ends included, for the check "range";
    /// either end may be left out. "" = anywhere.
    live models.NAME.prediction_range = "" => per_model!(prediction_range);

    /// Whether this experiment routes requests (docs/experiments.md). false keeps its definition for later.
    live experiments.NAME.enabled = true => per_experiment!(enabled);
    /// Name of the model whose requests it routes: those that name the model without a version, stage or alias.
    live experiments.NAME.model = "" => per_experiment!(model);
    /// Where a request says what is assigned to a variant, mostly its user: "header:NAME", "cookie:NAME" or
    /// "json:/POINTER" into the body. Never the address of the client, which is the app's own.
    live experiments.NAME.unit = "" => per_experiment!(unit);
    /// What the hash of units starts from; another one assigns everybody anew. "" = the experiment's name.
    live experiments.NAME.salt = "" => per_experiment!(salt);
    /// Hash of units: "xxh3", or "growthbook" = the buckets of GrowthBook's SDKs (version 2).
    live experiments.NAME.hash = "xxh3" => per_experiment!(hash);
    /// Share of all units that is enrolled, by a hash of its own, so that raising it moves nobody.
    live experiments.NAME.coverage = "100%" => per_experiment!(coverage);
    /// Names of the variants with the version, stage or alias that each serves, such as
    /// { control = "production", candidate = "8" }, or a model of another server that speaks the Open Inference
    /// Protocol: "remote:http://HOST:PORT/v2/models/NAME".
    live experiments.NAME.variants = {} => per_experiment!(variants);
    /// Slots of the variants, of a million: { control = "0..100000", candidate = "500000..600000 700000..750000" };
    /// extended in place they move nobody. {} = by weights.
    live experiments.NAME.slots = {} => per_experiment!(slots);
    /// Weights of the variants, a shorthand for slots when an experiment begins: changing them moves units.
    /// {} = all the same.
    live experiments.NAME.weights = {} => per_experiment!(weights);
    /// Name of the variant for whoever is not enrolled, and in place of a variant that is not loaded. "" = what the
    /// model's name answers with otherwise.
    live experiments.NAME.default = "" => per_experiment!(default);
    /// Name of the variant that answers in place of one that fails: its engine, or its server where it is remote. "" =
    /// the client gets the error.
    live experiments.NAME.fallback = "" => per_experiment!(fallback);
    /// Milliseconds that a remote variant may take before that one answers, fewer than the request has. 0 = until it fails.
    live experiments.NAME.fallback_after_ms = 0 in 0..=600_000 => experiment_millis!(fallback_after);
    /// What must hold of a request to be enrolled, all of it: "header:x-country in DE, AT", "json:/age >= 18",
    /// "cookie:beta exists".
    live experiments.NAME.segment = [] => per_experiment!(segment);
    /// What is looked at first, as "NAME: CONDITION and CONDITION -> VARIANT": the first that holds answers with that
    /// variant, or with the default one where "hold-out" stands in its place; nobody is enrolled by a rule.
    live experiments.NAME.rules = [] => per_experiment!(rules);
    /// What is to become better: "accuracy", "log_loss", "brier", "squared_error", "absolute_error" of predictions with
    /// their actuals, "outcome:NAME" (or "outcome:NAME lower") of what is posted by unit, "errors", "latency". "" =
    /// nothing, so that guardrails alone decide.
    live experiments.NAME.metric = "" => per_experiment!(metric);
    /// What must not become worse than in the control: the same names, "latency_p99" (p50, p90, p95), and how much
    /// worse is allowed, as "latency_p99 within 10%" or "errors within 0.01".
    live experiments.NAME.guardrails = [] => per_experiment!(guardrails);
    /// Milliseconds after a prediction when its outcome is final: earlier ones wait until then, so that no variant is
    /// judged by those that are known soon, and later ones do not count. 0 = whatever comes counts at once.
    live experiments.NAME.horizon_ms = 0 in 0..=34_560_000_000 => experiment_millis!(horizon);
    /// Number that a prediction's actual is where none has come within horizon_ms. "" = it does not count.
    live experiments.NAME.default_label = "" => per_experiment!(default_label);
    /// Units in all at which the comparison is sharpest; without a difference by then it ends as inconclusive.
    live experiments.NAME.planned_units = 5000 in 200..=1_000_000_000 => per_experiment!(planned_units);
    /// How sure a result must be, over all looks together.
    live experiments.NAME.confidence = "95%" => per_experiment!(confidence);
    /// Milliseconds before anything is promoted: a day has hours that differ.
    live experiments.NAME.min_runtime_ms = 86_400_000 in 0..=34_560_000_000 => experiment_millis!(min_runtime);
    /// Shares that are enrolled one after another while nothing gets worse: ["2% for 500 units and 10m", "20% for 1h",
    /// "100%"]. [] = coverage, all the time.
    live experiments.NAME.canary = [] => per_experiment!(canary);
    /// What is done about a result: "observe" = it is shown, "recommend" = with what to do, "auto" = it is done.
    live experiments.NAME.mode = "observe" => per_experiment!(mode);
    /// Names with a version, stage or alias that predicts from copies of the model's requests and answers none, such as
    /// { next = "staging" }: what it predicts is compared with what was answered, row by row. Needs no variants.
    live experiments.NAME.shadow = {} => per_experiment!(shadow);
    /// Share of requests that are copied.
    live experiments.NAME.shadow_share = "100%" => per_experiment!(shadow_share);
    /// How far apart two predicted numbers agree: a part of the one that was answered, as "1%", or a number. Labels agree
    /// when they are the same, probabilities of two classes when they are on one side of a half.
    live experiments.NAME.shadow_margin = "1%" => per_experiment!(shadow_margin);
};
