//! From verified bytes to a runnable version, on the builder hand: parse, try in a child process, build, try.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::{EngineChoice, ModelChecks, PredictionRange, TrialLoad};
use crate::drift::{Layout, Reference};
use crate::engine::{self, LoadOptions};
use crate::format::Model;
use crate::metrics::{Metrics, VersionLabels};
use crate::model::{Labels, LoadError, ModelName, Reason, Signature, Stage, Version};
use crate::registry::Artefact;
use crate::registry::manifest::Manifest;
use crate::serving::admission::Trial;
use crate::serving::circuit::Circuit;
use crate::serving::pacer::Pacer;
use crate::serving::trial_load::{self, ChildLoad, NotLoaded};
use crate::serving::watch::Watch;
use crate::serving::{ServedVersion, Statistics, checks};

/// Everything needed to turn bytes into a version.
pub(super) struct Build {
    pub(super) name: ModelName,
    pub(super) version: Version,
    pub(super) choice: EngineChoice,
    pub(super) options: LoadOptions,
    pub(super) warmup_rows: usize,
    pub(super) checks: ModelChecks,
    pub(super) prediction_range: Option<PredictionRange>,
    /// The served version's signature, when it must not change.
    pub(super) served: Option<Signature>,
    /// What is loaded under the same number.
    pub(super) replaces: Option<(Arc<ServedVersion>, Stage)>,
    pub(super) created: Option<String>,
    pub(super) stage: Stage,
    /// Whether and how a child process goes first.
    pub(super) child: ChildTrial,
    pub(super) metrics: Arc<Metrics>,
    pub(super) max_series: usize,
    pub(super) start: Instant,
}

impl Build {
    pub(super) fn run(
        self,
        mut artefact: Artefact,
        scratch: &mut engine::Scratch,
        pacer: &mut Pacer,
    ) -> Result<ServedVersion, LoadError> {
        let model = Model::parse(artefact.format, std::mem::take(&mut artefact.model))?;
        pacer.pace();
        let manifest = artefact.manifest.take();
        if let Some(manifest) = &manifest {
            manifest.check_signature(model.signature())?;
        }
        let classes = manifest.as_ref().map(|manifest| manifest.labels.clone()).unwrap_or_default();
        let signature = model.signature().clone().labelled(&classes);
        let breaking = manifest.as_ref().is_some_and(|m| m.breaking);
        if let Some(change) =
            self.served.as_ref().filter(|_| !breaking).and_then(|s| s.breaking_change(&signature))
        {
            let detail = format!(
                "{change}; register it again with --breaking, or set models.{}.allow_breaking",
                self.name
            );
            return Err(LoadError::new(Reason::SignatureChanged, detail));
        }
        let prediction = prediction(manifest.as_ref(), model.signature())?;
        crate::failpoint::at("trial");
        let tried = self.try_in_child(&model, &artefact, prediction)?;
        crate::failpoint::at("tried");
        let loaded = engine::load(&model, self.choice, &self.options)?;
        crate::failpoint::at("loaded");
        pacer.pace();
        let mut trial = Trial {
            session: &*loaded.session,
            signature: model.signature(),
            scratch,
            pace: &mut || pacer.pace(),
        };
        // What the child has shown need not be shown again, and its witness is the engine that may do harm.
        let witness = || engine::alternative(&model, &loaded, self.choice, &self.options).filter(|_| !tried);
        let example = trial.examine(artefact.golden.as_deref(), witness)?;
        if !tried {
            let wanted = (prediction, self.prediction_range);
            checks::admit(&mut trial, self.checks, example.as_deref(), wanted, self.options.workers)?;
        }
        crate::failpoint::at("warmup");
        let row_nanos = trial.warm_up(example.as_deref(), self.warmup_rows)?;
        crate::failpoint::at("built");
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
        let layout = Layout::of(model.signature(), &columns, prediction);
        let reference = artefact.profile.as_deref().and_then(|bytes| {
            // Monitoring must not keep a model from being served.
            let read = Reference::from_stored(bytes, &layout);
            read.inspect_err(|why| {
                tracing::warn!(model = %name, version = version.get(), why, "profile.json is not used, a reference is learned");
            })
            .ok()
        });
        // From here on nothing can fail any more.
        if let Some((old, stage)) = &self.replaces {
            let digest = old.digest.to_string();
            self.metrics.forget_content(&old.labels(labels.version, *stage, &digest));
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
            labels: Labels::of(&signature, prediction),
            // Names and versions hold nothing that JSON would escape.
            answer_prefix: format!(r#"{{"model_name":"{name}","model_version":"{version}""#).into_bytes(),
            load_time: self.start.elapsed(),
            memory_bytes: loaded.session.memory_bytes(),
            metrics: self.metrics.version(&labels, self.max_series),
            statistics: Statistics::default(),
            circuit: Circuit::default(),
            row_nanos: AtomicU64::new(row_nanos),
            watch: Watch::new(layout, reference),
            signature,
            session: loaded.session,
        })
    }
}

/// Whether and how a version is loaded in a child process first.
pub(super) struct ChildTrial {
    pub(super) choice: TrialLoad,
    pub(super) timeout: Duration,
    /// What this process and the child may take together.
    pub(super) budget: Option<u64>,
    /// The loader is to end.
    pub(super) stopping: Arc<AtomicBool>,
}

impl Build {
    /// Loads the version in a child process where that protects from anything; whether it did. What the child cannot
    /// be given (another system than Linux; memory, unless trials are `on`) is no reason to refuse a version.
    fn try_in_child(&self, model: &Model, artefact: &Artefact, prediction: usize) -> Result<bool, LoadError> {
        let golden = artefact.golden.as_deref();
        let wanted = match self.child.choice {
            TrialLoad::Off => false,
            TrialLoad::On => true,
            TrialLoad::Auto => {
                cfg!(target_os = "linux") && trial_load::is_worthwhile(model, self.choice, golden)
            }
        };
        // ONNX files are handed on as the engines get them; trees were read into memory, and their file is gone.
        let Some(bytes) = model.bytes().filter(|_| wanted) else { return Ok(false) };
        let resident = crate::process::resident_bytes().unwrap_or(0);
        let room = self.child.budget.map(|budget| budget.saturating_sub(resident));
        let Some(memory_bytes) = trial_load::memory_for(bytes.len() as u64, room) else {
            let worthwhile = trial_load::is_worthwhile(model, self.choice, golden);
            trial_load::without_room(self.child.choice, worthwhile, bytes.len() as u64, room)?;
            tracing::warn!(
                model = %self.name,
                "too little memory is left for a trial load; the version is loaded without"
            );
            return Ok(false);
        };
        let child = ChildLoad {
            model: bytes,
            format: artefact.format,
            golden,
            choice: self.choice,
            workers: self.options.workers,
            warmup_rows: self.warmup_rows,
            checks: self.checks,
            prediction,
            prediction_range: self.prediction_range,
            timeout: self.child.timeout,
            memory_bytes,
        };
        match child.run(&mut || !self.child.stopping.load(Relaxed)) {
            Ok(()) => Ok(true),
            Err(NotLoaded::Refused(error)) => Err(error),
            Err(NotLoaded::Unavailable(why)) => {
                tracing::warn!(model = %self.name, why, "no trial load took place; the version is loaded without");
                Ok(false)
            }
            Err(NotLoaded::Stopped) => Err(LoadError::new(Reason::Timeout, "sidegate is ending")),
        }
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
