//! From listed files to a runnable version: read, verify, parse, build, try.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::{Failed, Loaded, Loader, MAX_BACKOFF};
use crate::config::{Config, EngineChoice, ModelChecks, PredictionRange};
use crate::engine::{self, LoadOptions};
use crate::format::Model;
use crate::metrics::{Metrics, VersionLabels};
use crate::model::{LoadError, ModelName, Reason, Signature, Stage, Version};
use crate::registry::manifest::Manifest;
use crate::registry::{Artefact, Listed};
use crate::serving::admission::Trial;
use crate::serving::circuit::Circuit;
use crate::serving::{ServedVersion, Statistics, checks};

/// Memory that a load may take, as a multiple of the file: its bytes, the parsed graph, the session.
const MEMORY_FACTOR: u64 = 3;

impl Loader {
    /// Loads one version; whatever happens is in log, metric and state afterwards.
    pub(super) fn load(&mut self, name: &ModelName, version: Version, config: &Config) {
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(listed) = model.catalog.versions.iter().find(|l| l.version == version).cloned() else {
            return;
        };
        model.loading = Some(version);
        self.publish_status(config);
        let start = Instant::now();
        let result = self.attempt(name, &listed, config);
        self.metrics.count_load(name.as_str(), result.as_ref().err().map(|e| e.code));
        let Some(model) = self.models.get_mut(name) else { return };
        model.loading = None;
        match result {
            Ok(served) => {
                tracing::info!(
                    model = %name, version = version.get(), engine = served.engine.name(),
                    reason = %served.engine_reason, load_ms = start.elapsed().as_millis() as u64, "loaded"
                );
                model.failed.remove(&version);
                let choice = config.model(name.as_str()).engine;
                let loaded =
                    Loaded { version: Arc::new(served), token: listed.token, stage: listed.stage, choice };
                // Files of a bare repository may change under the same number; the old content is let go.
                if let Some(old) = model.loaded.insert(version, loaded) {
                    if model.default == Some(version) {
                        model.last_swap = Some(Instant::now());
                        self.metrics.count_swap(name.as_str());
                    }
                    self.retired.push(old.version);
                }
            }
            Err(error) => {
                tracing::warn!(
                    model = %name, version = version.get(), code = %error.code, detail = %error.detail,
                    "version is refused; what served before keeps serving"
                );
                let attempts = model.failed.get(&version).map_or(1, |f| f.attempts + 1);
                let passing = matches!(
                    error.code,
                    Reason::MissingFile | Reason::BadDigest | Reason::Memory | Reason::Timeout
                );
                let backoff = Duration::from_secs(1 << attempts.min(6)).min(MAX_BACKOFF);
                let retry = passing.then(|| Instant::now() + backoff);
                model.failed.insert(version, Failed { token: listed.token, error, attempts, retry });
            }
        }
    }

    fn attempt(
        &mut self,
        name: &ModelName,
        listed: &Listed,
        config: &Config,
    ) -> Result<ServedVersion, LoadError> {
        let start = Instant::now();
        let mut pacer =
            Pacer::new(config.registry.slow_load && !self.serving.snapshot.load().models.is_empty());
        let bytes = self.registry.model_bytes(name, listed.version)?;
        self.fit_into_memory(bytes, config)?;
        let mut artefact = self.registry.fetch(name, listed, bytes, &mut || pacer.pace())?;
        let settings = config.model(name.as_str());
        let model = self.models.get(name);
        let served = model.and_then(|model| model.loaded.get(&model.default?));
        let build = Build {
            name,
            version: listed.version,
            choice: settings.engine,
            options: LoadOptions { workers: self.callers },
            warmup_rows: settings.warmup_rows,
            checks: settings.checks,
            prediction_range: settings.prediction_range,
            served: served.filter(|_| !settings.allow_breaking).map(|l| &l.version.signature),
            replaces: model.and_then(|model| model.loaded.get(&listed.version)),
            created: listed.created.clone(),
            stage: listed.stage,
            metrics: &self.metrics,
            max_series: config.metrics.max_series,
            start,
        };
        // Engines are not trusted with a model's bytes: a panic of theirs is one more way to be refused.
        let scratch = &mut self.scratch;
        catch_unwind(AssertUnwindSafe(|| build.run(&mut artefact, scratch, &mut pacer))).unwrap_or_else(
            |_| Err(LoadError::new(Reason::Crashed, "the engine panicked while loading; see the log")),
        )
    }

    /// Makes room for a file of `bytes` within the memory budget, dropping kept versions first.
    fn fit_into_memory(&mut self, bytes: u64, config: &Config) -> Result<(), LoadError> {
        let Some(budget) = config.memory.budget_bytes else { return Ok(()) };
        let need = bytes.saturating_mul(MEMORY_FACTOR);
        let fits = || crate::process::resident_bytes().is_none_or(|resident| resident + need <= budget);
        if fits() {
            return Ok(());
        }
        // What fits in no case costs nobody the version to roll back to.
        let names: Vec<ModelName> = self.models.keys().filter(|_| need < budget).cloned().collect();
        for name in names {
            if let Some(model) = self.models.get_mut(&name) {
                model.previous.clear();
                let wanted = model.catalog.wanted();
                self.arrange(&name, &wanted, 0, config);
            }
        }
        self.retired.sweep();
        if fits() {
            return Ok(());
        }
        let resident = crate::process::resident_bytes().unwrap_or(0);
        let detail = format!(
            "loading needs about {need} bytes beside {resident} in use, memory.budget_bytes is {budget}"
        );
        Err(LoadError::new(Reason::Memory, detail))
    }
}

/// Everything needed to turn bytes into a version.
struct Build<'a> {
    name: &'a ModelName,
    version: Version,
    choice: EngineChoice,
    options: LoadOptions,
    warmup_rows: usize,
    checks: ModelChecks,
    prediction_range: Option<PredictionRange>,
    /// The served version's signature, when it must not change.
    served: Option<&'a Signature>,
    /// What is loaded under the same number.
    replaces: Option<&'a Loaded>,
    created: Option<String>,
    stage: Stage,
    metrics: &'a Metrics,
    max_series: usize,
    start: Instant,
}

impl Build<'_> {
    fn run(
        self,
        artefact: &mut Artefact,
        scratch: &mut engine::Scratch,
        pacer: &mut Pacer,
    ) -> Result<ServedVersion, LoadError> {
        let model = Model::parse(artefact.format, std::mem::take(&mut artefact.model))?;
        pacer.pace();
        let manifest = artefact.manifest.take();
        if let Some(manifest) = &manifest {
            manifest.check_signature(model.signature())?;
        }
        let breaking = manifest.as_ref().is_some_and(|m| m.breaking);
        if let Some(change) =
            self.served.filter(|_| !breaking).and_then(|s| s.breaking_change(model.signature()))
        {
            let detail =
                format!("{change}; mark the manifest `breaking` or set models.{}.allow_breaking", self.name);
            return Err(LoadError::new(Reason::SignatureChanged, detail));
        }
        let prediction = prediction(manifest.as_ref(), model.signature())?;
        let loaded = engine::load(&model, self.choice, &self.options)?;
        pacer.pace();
        let mut trial = Trial {
            session: &*loaded.session,
            signature: model.signature(),
            scratch,
            pace: &mut || pacer.pace(),
        };
        let witness = || engine::alternative(&model, &loaded, self.choice, &self.options);
        let example = trial.examine(artefact.golden.as_deref(), witness)?;
        let wanted = (prediction, self.prediction_range);
        checks::admit(&mut trial, self.checks, example.as_deref(), wanted, self.options.workers)?;
        let row_nanos = trial.warm_up(example.as_deref(), self.warmup_rows)?;
        let (name, version) = (self.name, self.version);
        let labels = VersionLabels {
            model: name.as_str(),
            version: &version.to_string(),
            stage: self.stage.name(),
            engine: loaded.kind.name(),
            digest: &artefact.digest.to_string(),
        };
        let columns = manifest.as_ref().map(|m| m.columns.clone()).filter(|columns| !columns.is_empty());
        let columns = columns.unwrap_or_else(|| model.columns().to_vec());
        // From here on nothing can fail any more.
        if let Some(old) = self.replaces {
            let digest = old.version.digest.to_string();
            self.metrics.forget_content(&old.version.labels(labels.version, old.stage, &digest));
        }
        Ok(ServedVersion {
            model: name.clone(),
            version,
            format: artefact.format,
            engine: loaded.kind,
            engine_reason: loaded.reason,
            digest: artefact.digest,
            created: self.created.or_else(|| manifest.as_ref().and_then(|m| m.created.clone())),
            columns,
            prediction,
            // Names and versions hold nothing that JSON would escape.
            answer_prefix: format!(r#"{{"model_name":"{name}","model_version":"{version}""#).into_bytes(),
            load_time: self.start.elapsed(),
            memory_bytes: loaded.session.memory_bytes(),
            metrics: self.metrics.version(&labels, self.max_series),
            statistics: Statistics::default(),
            circuit: Circuit::default(),
            row_nanos: AtomicU64::new(row_nanos),
            signature: model.signature().clone(),
            session: loaded.session,
        })
    }
}

/// The output that `/predict` answers with: the manifest's, else the first of the graph.
fn prediction(manifest: Option<&Manifest>, signature: &Signature) -> Result<usize, LoadError> {
    if signature.outputs.is_empty() {
        return Err(LoadError::new(Reason::Unsupported, "the graph has no outputs"));
    }
    let Some(name) = manifest.and_then(|m| m.prediction.as_deref()) else { return Ok(0) };
    signature.outputs.iter().position(|spec| *spec.name == *name).ok_or_else(|| {
        LoadError::new(
            Reason::Parse,
            format!("manifest.json: `prediction` names `{name}`, which is no output"),
        )
    })
}

/// Keeps a load to about a quarter of the processor, in slices, when requests compete for a quota.
struct Pacer {
    slow: bool,
    last: Instant,
}

impl Pacer {
    fn new(slow: bool) -> Self {
        Self { slow, last: Instant::now() }
    }

    fn pace(&mut self) {
        if self.slow {
            std::thread::sleep((self.last.elapsed() * 3).min(Duration::from_millis(100)));
        }
        self.last = Instant::now();
    }
}
