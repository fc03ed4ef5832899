//! What the gateway runs with: one table of keys, four layers of values, one checked [`Config`].
//!
//! [`KEYS`] drives everything: reading the file, the environment and the flags, the checks, the committed
//! `config/sidegate.toml` and the dumps. Precedence is flag, environment, file, default. All problems are
//! reported at once, each with the place it was written. Only this module reads the process environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::experiment::{Definition, Experiment, ExperimentName, Mode, Share};
use crate::model::ModelName;

mod assembly;
mod blank;
mod bucket;
mod changes;
mod check;
mod choice;
mod demands;
mod environment;
mod experiments;
mod file;
mod key;
mod keys;
mod machine;
mod mlflow;
mod prediction_log;
mod problem;
mod render;
mod setting;
mod sources;
mod suggest;
mod tokens;
mod url;
mod value;
mod webhook;

#[cfg(test)]
mod tests;

pub use bucket::{Endpoint, Region};
pub use changes::{Change, changes};
pub use choice::{EngineChoice, LogFormat, LogLevel, ModelCheck, PathStyle, SegmentFormat, TrialLoad};
pub use demands::{ModelChecks, PredictionRange};
pub use key::Key;
pub use keys::KEYS;
pub use machine::Machine;
pub use mlflow::{MlflowCredentials, MlflowUrl};
pub use prediction_log::Redaction;
pub use problem::{Origin, Problem, Problems};
pub use render::{Shown, annotated, template, to_toml, values};
pub use sources::{DEFAULT_FILE, Loaded, MODEL_FILE, Sources, load, load_leniently};
pub use tokens::{TokenFileError, read_tokens};
pub use url::RegistryUrl;
pub use webhook::WebhookUrl;

/// The checked configuration: every field holds a value that can be run with.
///
/// Sections and fields are named as the keys, durations without their unit.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one field per section of the file; `KEYS` documents every key")]
pub struct Config {
    /// The model of the founding endpoints, from `default_model` or a model's own `default`.
    pub default_model: Option<ModelName>,
    pub registry: Registry,
    pub http: Http,
    pub limits: Limits,
    pub admin: Admin,
    pub ops: Ops,
    pub auth: Auth,
    pub engine: Engine,
    pub memory: Memory,
    pub shutdown: Shutdown,
    pub metrics: Metrics,
    pub log: Log,
    pub monitor: Monitor,
    pub prediction_log: PredictionLog,
    /// `experiments.*` of all experiments together.
    pub trials: Trials,
    /// Models that the configuration says something of; [`Config::model`] answers for every model.
    pub models: BTreeMap<ModelName, ModelConfig>,
    /// The table's defaults for models that it says nothing of.
    unnamed: ModelConfig,
    /// The experiments that route requests, at most one of a model.
    pub experiments: Vec<Experiment>,
    /// Every experiment as written.
    definitions: BTreeMap<ExperimentName, Definition>,
    /// The table's defaults for experiments.
    undefined: Definition,
}

/// `registry.*`: where models come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// The folder, file or bucket.
    pub url: RegistryUrl,
    /// Where the bucket is; `None`: AWS, or what its own variables and profiles say.
    pub endpoint: Option<Endpoint>,
    /// The bucket's region; `None`: what the environment or the profile says.
    pub region: Option<Region>,
    /// Whether the bucket stands in the path of a URL or in its host.
    pub path_style: PathStyle,
    /// How often it is looked at (`auto`: less often across a network).
    pub poll_interval: Duration,
    /// Which models; `None` is all of them.
    pub models: Option<Vec<ModelName>>,
    /// Which must be loaded for readiness, those of `models` if none were named. Empty: ready when every model
    /// was tried and at least one is served.
    pub required: Vec<ModelName>,
    /// More models are reported, not served.
    pub max_models: usize,
    /// The shortest time between two swaps of one model (`auto`: none from a folder).
    pub min_swap_interval: Duration,
    /// Versions of a model that stay loaded for rollback.
    pub keep_previous: usize,
    /// Whether loading is paced to leave the processor to requests (`auto`: under a quota).
    pub slow_load: bool,
    /// Where verified copies are kept; `None` where there is no place for them.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of all verified copies.
    pub cache_max_bytes: u64,
    /// Whether a store that ignores conditions may be written all the same.
    pub single_writer: bool,
    /// Whether a version must be signed to be loaded.
    pub require_signature: bool,
    /// The folder of the public keys that count.
    pub public_keys_dir: Option<PathBuf>,
    /// Whether a version is loaded by a process of its own first.
    pub trial_load: TrialLoad,
    /// How long that may take.
    pub trial_timeout: Duration,
    /// Who this process is among those that serve the same registry.
    pub pod: String,
}

/// `http.*`: the data port.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Address of the data port.
    pub listen: SocketAddr,
    /// Path of the Unix domain socket.
    pub uds: Option<PathBuf>,
    /// Data-path threads.
    pub workers: usize,
    /// How long an idle worker spins before it sleeps; zero is off.
    pub busy_poll: Duration,
    /// Total time of a request.
    pub request_timeout: Duration,
    /// Open connections, TCP and Unix together.
    pub max_connections: usize,
    /// How long a request may wait for its turn.
    pub queue_wait: Duration,
    /// Whether `/v2/repository/models/…` may load and unload.
    pub repository_control: bool,
    /// Whether NaN and infinities in a request are refused.
    pub reject_non_finite: bool,
}

/// `limits.*`: what one request and all of them may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of one body, decompressed; never more than `inflight_bytes`.
    pub body_bytes: usize,
    /// Bytes of all bodies being read or answered.
    pub inflight_bytes: usize,
    /// Rows of one request.
    pub max_rows: usize,
}

/// `admin.*`: the port for everything but predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Address of the admin port.
    pub listen: SocketAddr,
    /// File of bearer tokens.
    pub token_file: Option<PathBuf>,
}

/// `ops.*`: the read-only port for kubelet and Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct Ops {
    /// Its address.
    pub listen: Option<SocketAddr>,
}

/// `auth.*`: who may use the data port.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// File of bearer tokens.
    pub token_file: Option<PathBuf>,
}

/// `engine.*`: what runs the graphs.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// For models that choose none.
    pub default: EngineChoice,
    /// Path of libonnxruntime; `None` is the search.
    pub onnxruntime: Option<PathBuf>,
    /// Where else the environment says to look for it.
    pub search: Search,
}

/// Hints of the environment for the search of libonnxruntime; not keys, because others define them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// `ORT_DYLIB_PATH`: the library itself.
    pub ort_dylib_path: Option<PathBuf>,
    /// `VIRTUAL_ENV`: a Python environment that may hold the onnxruntime package.
    pub virtual_env: Option<PathBuf>,
}

/// `memory.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Loads that would exceed it are refused; `None` is no budget.
    pub budget_bytes: Option<u64>,
}

/// `shutdown.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Shutdown {
    /// Not ready but still accepting, before the drain begins.
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish.
    pub timeout: Duration,
}

/// `metrics.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Label sets in all.
    pub max_series: usize,
}

/// `log.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least severe that are written.
    pub level: LogLevel,
}

/// `monitor.*`: what is counted beside the data path.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// Bytes of predictions that wait for their actuals, and half as many of what is known of features.
    pub max_bytes: usize,
    /// Whether features are watched.
    pub drift: bool,
    /// Whether predictions wait for their actuals without an experiment too.
    pub performance: bool,
    /// Rows that a reference is learned from.
    pub learn_rows: usize,
    /// Rows of the window that is compared with it.
    pub window_rows: u64,
    /// Seconds that it reaches back instead; 0: it is of rows.
    pub window_seconds: u64,
    /// Windows are hours of the clock, each held against the same one of last week.
    pub same_hour: bool,
    /// Rows a second of each version that are looked at.
    pub max_rows_per_s: u64,
    /// False alarms of a version in thirty days.
    pub false_alarms: u64,
    /// How often windows are published; zero: never.
    pub publish_interval: Duration,
    /// Where changes of alerts are posted.
    pub webhook_url: Option<WebhookUrl>,
    /// File of the bearer token for it.
    pub webhook_token_file: Option<PathBuf>,
}

/// `prediction_log.*`: what is kept of predictions, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionLog {
    /// The folder or bucket; `None` is off.
    pub url: Option<RegistryUrl>,
    /// Which models; `None` is all of them.
    pub models: Option<Vec<ModelName>>,
    /// The share of requests.
    pub sample: Share,
    /// What is written as null.
    pub redact: Vec<Redaction>,
    /// What segments are.
    pub format: SegmentFormat,
    /// Bytes of what waits to be written.
    pub max_bytes: usize,
    /// Bytes of lines after which a segment is closed.
    pub segment_bytes: usize,
    /// How long a segment stays open.
    pub segment_time: Duration,
}

/// What holds for all experiments.
#[derive(Clone, Debug, PartialEq)]
pub struct Trials {
    /// File of the keys that sign receipts.
    pub receipt_key_file: Option<PathBuf>,
    /// How old a receipt may be.
    pub receipt_max_age: Duration,
    /// Whether no other process serves these experiments, so that this one may decide.
    pub only_replica: bool,
    /// How often sums are published to the registry; zero: never.
    pub publish_interval: Duration,
}

/// `models.NAME.*` as written.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `None`: `engine.default`.
    pub engine: Option<EngineChoice>,
    /// Asks to be [`Config::default_model`].
    pub default: bool,
    /// Whether a version with another signature may replace the served one.
    pub allow_breaking: bool,
    /// `None`: `limits.max_rows`.
    pub max_rows: Option<usize>,
    /// Rows of the larger warm-up run.
    pub warmup_rows: usize,
    /// What a version has to show besides.
    pub checks: ModelChecks,
    /// Where its predictions have to lie, for the check `range`.
    pub prediction_range: Option<PredictionRange>,
}

/// What holds for one model, its own settings over the general ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelSettings {
    /// The engine to load it with.
    pub engine: EngineChoice,
    /// Whether a version with another signature may replace the served one.
    pub allow_breaking: bool,
    /// Rows of one request.
    pub max_rows: usize,
    /// Rows of the larger warm-up run, at most `max_rows`.
    pub warmup_rows: usize,
    /// What a version has to show besides golden examples, agreement and warm-up.
    pub checks: ModelChecks,
    /// Where its predictions have to lie, for the check `range`.
    pub prediction_range: Option<PredictionRange>,
}

// === impl Config ===

impl Config {
    /// The defaults on a machine, with no file, environment or flags.
    pub fn defaults(machine: &Machine) -> Self {
        // There is nothing wrong with defaults (tested); some follow from others.
        assembly::Assembly::new(machine).finish().0
    }

    /// The settings of a model, whether or not the configuration names it.
    pub fn model(&self, name: &str) -> ModelSettings {
        let own = self.models.get(name).unwrap_or(&self.unnamed);
        let max_rows = own.max_rows.unwrap_or(self.limits.max_rows);
        ModelSettings {
            engine: own.engine.unwrap_or(self.engine.default),
            allow_breaking: own.allow_breaking,
            max_rows,
            warmup_rows: own.warmup_rows.min(max_rows),
            checks: own.checks,
            prediction_range: own.prediction_range,
        }
    }

    /// The experiment that routes a model's requests.
    pub fn experiment(&self, model: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|experiment| experiment.model.as_str() == model)
    }

    /// What is allowed but worth one line in the log at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !check::is_loopback(self.http.listen.ip()) && self.auth.token_file.is_none() {
            let may = match &self.registry.url {
                RegistryUrl::SageMaker(_) => "predict, and load and unload models",
                _ => "predict",
            };
            warnings.push(format!(
                "http.listen {} is reachable from other machines and auth.token_file is not set: \
                 whoever reaches it may {may}",
                self.http.listen
            ));
        }
        for experiment in self.experiments.iter().filter(|experiment| experiment.plan.mode == Mode::Auto) {
            let publishes = !self.trials.publish_interval.is_zero();
            let lack = match (self.trials.only_replica, publishes) {
                (_, true) => continue,
                (true, false) => "what is decided is forgotten at a restart",
                (false, false) => "nobody decides",
            };
            warnings.push(format!(
                "experiments.{}.mode is \"auto\", but {lack}: set experiments.publish_interval_ms",
                experiment.name
            ));
        }
        warnings
    }
}
