//! What is served now: an immutable [`Snapshot`] behind one atomic pointer.
//!
//! The data path loads the pointer and reads; only the [`loader`] stores. A request keeps the version it
//! started with by its `Arc`, so a swap never waits and never fails a request.

pub mod admission;
pub mod checks;
pub mod circuit;
pub mod loader;
pub mod mirror;
pub mod pacer;
pub mod remote;
pub mod router;
pub mod status;
pub mod trial_load;
pub mod watch;

mod golden;
pub(crate) mod probe;
mod retire;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::engine::{EngineKind, Session};
use crate::format::Format;
use crate::metrics::{Outcome, VersionLabels, VersionMetrics};
use crate::model::{Labels, ModelName, Selector, Signature, Stage, Version};
use crate::registry::digest::Digest;
use router::{Arm, Router};
use status::Status;

/// The pointers between the loader and everybody else.
pub struct Serving {
    /// What the data path reads.
    pub snapshot: ArcSwap<Snapshot>,
    /// What people read: every version with its state, and readiness.
    pub status: ArcSwap<Status>,
}

/// Everything that is served, by model.
#[derive(Default)]
pub struct Snapshot {
    /// Models with at least one loaded version.
    pub models: HashMap<ModelName, Arc<ServedModel>>,
    /// The model of the founding endpoints when a request names none.
    pub default_model: Option<ModelName>,
}

/// A model's loaded versions.
pub struct ServedModel {
    /// Its name.
    pub name: ModelName,
    /// What the plain name answers with.
    pub default: Option<Arc<ServedVersion>>,
    /// Every loaded version, with the stage it has now.
    pub versions: BTreeMap<Version, (Stage, Arc<ServedVersion>)>,
    /// Movable names.
    pub aliases: BTreeMap<String, Version>,
    /// The experiment that routes requests to the plain name.
    pub router: Option<Router>,
}

/// One loaded version.
pub struct ServedVersion {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// What its model file is.
    pub format: Format,
    /// Inputs and outputs.
    pub signature: Signature,
    /// The runnable model.
    pub session: Box<dyn Session>,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Why that one.
    pub engine_reason: String,
    /// Digest of the model file.
    pub digest: Digest,
    /// When it was made, RFC 3339, where known.
    pub created: Option<String>,
    /// Feature names of a model with one tensor input.
    pub columns: Vec<String>,
    /// Index of the output that `/predict` answers with.
    pub prediction: usize,
    /// What it calls its classes.
    pub labels: Labels,
    /// `{"model_name":"…","model_version":"…"`: the start of every OIP answer.
    pub answer_prefix: Vec<u8>,
    /// How long loading took.
    pub load_time: Duration,
    /// Estimate of the memory it holds, in bytes.
    pub memory_bytes: usize,
    /// Its series.
    pub metrics: VersionMetrics,
    /// Its counts for the statistics extension.
    pub statistics: Statistics,
    /// Open while its engine keeps failing.
    pub circuit: circuit::Circuit,
    /// Measured cost of a row in nanoseconds: what decides between running inline and offloading.
    pub row_nanos: AtomicU64,
    /// What the monitor wants to see of it.
    pub watch: watch::Watch,
}

/// Counts of the statistics extension of the Open Inference Protocol, cumulative.
#[derive(Default)]
#[expect(missing_docs, reason = "one field per count of the extension; times in nanoseconds")]
pub struct Statistics {
    pub success_count: AtomicU64,
    pub success_nanos: AtomicU64,
    pub fail_count: AtomicU64,
    pub fail_nanos: AtomicU64,
    pub queue_nanos: AtomicU64,
    pub input_nanos: AtomicU64,
    pub infer_nanos: AtomicU64,
    pub output_nanos: AtomicU64,
    pub rows: AtomicU64,
    pub last_inference_millis: AtomicU64,
}

/// Why a model reference has no version to serve.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// No such model is loaded.
    #[error("model `{0}` is not served")]
    Model(String),
    /// The model is there, that version, stage or alias of it is not.
    #[error("model `{model}` has no loaded version for `{selector}`")]
    Version {
        /// The model.
        model: String,
        /// What was asked for.
        selector: String,
    },
}

// === impl Serving ===

impl Serving {
    /// Nothing served yet.
    pub fn new() -> Self {
        Self { snapshot: ArcSwap::default(), status: ArcSwap::from_pointee(Status::starting()) }
    }
}

impl Default for Serving {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The version that a model name and selector mean now.
    ///
    /// # Errors
    /// [`NotServed`] when it is not loaded.
    #[inline]
    pub fn resolve(&self, model: &str, selector: &Selector) -> Result<&Arc<ServedVersion>, NotServed> {
        self.model(model)?.resolve(selector).ok_or_else(|| NotServed::version(model, selector))
    }

    /// A model by its name.
    ///
    /// # Errors
    /// [`NotServed`] when nothing of it is loaded.
    #[inline]
    pub fn model(&self, model: &str) -> Result<&Arc<ServedModel>, NotServed> {
        self.models.get(model).ok_or_else(|| NotServed::Model(crate::model::shorten(model)))
    }

    /// Every version that is loaded.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<ServedVersion>> {
        self.models.values().flat_map(|model| model.versions.values().map(|(_, version)| version))
    }

    /// The model of a founding endpoint that names none: the default one, else the only one.
    pub fn only_model(&self) -> Option<&ModelName> {
        self.default_model.as_ref().or_else(|| {
            let mut names = self.models.keys();
            names.next().filter(|_| names.next().is_none())
        })
    }
}

// === impl NotServed ===

impl NotServed {
    /// A model without such a version.
    pub fn version(model: &str, selector: &Selector) -> Self {
        Self::Version { model: model.to_owned(), selector: selector.to_string() }
    }
}

// === impl ServedModel ===

impl ServedModel {
    /// The version a selector means, if it is loaded.
    #[inline]
    pub fn resolve(&self, selector: &Selector) -> Option<&Arc<ServedVersion>> {
        match selector {
            Selector::Default => self.default.as_ref(),
            Selector::Version(version) => self.versions.get(version).map(|(_, v)| v),
            Selector::Stage(stage) => self.versions.values().rev().find(|(s, _)| s == stage).map(|(_, v)| v),
            Selector::Alias(alias) => self.versions.get(self.aliases.get(alias)?).map(|(_, v)| v),
        }
    }

    /// The same, but in a bare repository, where no version has a stage, what serves is what Production means.
    pub fn resolve_leniently(&self, selector: &Selector) -> Option<&Arc<ServedVersion>> {
        let bare = || self.versions.values().all(|(stage, _)| *stage == Stage::None);
        match selector {
            Selector::Stage(Stage::Production) if bare() => self.default.as_ref(),
            other => self.resolve(other),
        }
    }
}

// === impl ServedVersion ===

impl ServedVersion {
    /// Its labels at `stage`, given its digest as text.
    pub fn labels<'a>(&'a self, version: &'a str, stage: Stage, digest: &'a str) -> VersionLabels<'a> {
        VersionLabels {
            model: self.model.as_str(),
            version,
            stage: stage.name(),
            engine: self.engine.name(),
            digest,
        }
    }

    /// Counts how a request ended that this version answered, as a variant of an experiment or as itself.
    #[inline]
    pub fn count(&self, arm: Option<&Arm>, outcome: Outcome) {
        arm.and_then(|arm| arm.outcomes.as_ref()).unwrap_or(&self.metrics.outcomes).count(outcome);
    }

    /// Takes note of a run: an exponentially weighted cost per row, a sixteenth of each new sample.
    #[inline]
    pub fn observe_run(&self, rows: usize, nanos: u64) {
        let sample = nanos / rows.max(1) as u64;
        let old = self.row_nanos.load(Relaxed);
        self.row_nanos.store(old - old / 16 + sample / 16, Relaxed);
    }
}

impl Statistics {
    /// Counts an answered request.
    #[inline]
    pub fn succeeded(&self, times: &StageNanos, rows: usize) {
        self.success_count.fetch_add(1, Relaxed);
        self.success_nanos.fetch_add(times.total, Relaxed);
        self.queue_nanos.fetch_add(times.queue, Relaxed);
        self.input_nanos.fetch_add(times.decode, Relaxed);
        self.infer_nanos.fetch_add(times.infer, Relaxed);
        self.output_nanos.fetch_add(times.encode, Relaxed);
        self.rows.fetch_add(rows as u64, Relaxed);
        self.stamp();
    }

    /// Counts a failed request.
    pub fn failed(&self, nanos: u64) {
        self.fail_count.fetch_add(1, Relaxed);
        self.fail_nanos.fetch_add(nanos, Relaxed);
    }

    /// Milliseconds since 1970, as the extension wants the last inference.
    fn stamp(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_inference_millis.store(now.as_millis() as u64, Relaxed);
    }
}

/// Where a request's time went, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "one field per stage")]
pub struct StageNanos {
    pub decode: u64,
    pub queue: u64,
    pub infer: u64,
    pub encode: u64,
    pub total: u64,
}
