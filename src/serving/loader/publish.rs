//! Making a model's state visible: the snapshot for requests, the status for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Loader, ModelState};
use crate::config::Config;
use crate::experiment::Track;
use crate::model::{ModelName, Reason, Version};
use crate::serving::router::Router;
use crate::serving::status::{ModelStatus, ReasonStatus, State, Status, VersionStatus};
use crate::serving::{ServedModel, Snapshot};

impl Loader {
    /// Whether the snapshot lacks a loaded version, an alias or the experiment of the model.
    pub(super) fn needs_publishing(&self, name: &ModelName, config: &Config) -> bool {
        let snapshot = self.serving.snapshot.load();
        let (Some(model), served) = (self.models.get(name), snapshot.models.get(name)) else { return false };
        let Some(served) = served else { return !model.loaded.is_empty() };
        served.aliases != model.aliases(Some(served))
            || served.router.as_ref().map(Router::experiment) != config.experiment(name.as_str())
            || served.router.as_ref().is_some_and(|router| router.ruling != self.ruling(&router.track))
            || served.versions.len() != model.loaded.len()
            || model.loaded.iter().any(|(number, loaded)| {
                served.versions.get(number).is_none_or(|(_, version)| !Arc::ptr_eq(version, &loaded.version))
            })
    }

    /// Stores a snapshot with the model's present state: the one atomic store of a swap.
    pub(super) fn publish(&self, name: &ModelName, config: &Config) {
        let Some(model) = self.models.get(name) else { return };
        let mut models = self.serving.snapshot.load().models.clone();
        let old = models.remove(name);
        let before = old.as_ref().and_then(|old| old.router.as_ref());
        let mut served = model.served(name, old.as_deref());
        let experiment = config.experiment(name.as_str()).filter(|_| !model.loaded.is_empty());
        served.router = experiment.map(|experiment| {
            let held = model.held(Some(experiment), before);
            let ruling = |track: &Track| self.ruling(track);
            Router::new(experiment, ruling, &served, &held, before, &self.metrics, config.metrics.max_series)
        });
        if let Some(before) = before {
            before.forget(served.router.as_ref(), &self.metrics);
        }
        if !model.loaded.is_empty() {
            models.insert(name.clone(), Arc::new(served));
        }
        self.serving
            .snapshot
            .store(Arc::new(Snapshot { models, default_model: config.default_model.clone() }));
    }

    /// Stores what people see, and whether this process is ready.
    pub(super) fn publish_status(&self, config: &Config) {
        let stale = self.registry_seen.unwrap_or(self.started).elapsed();
        self.metrics.registry_staleness.set(stale.as_secs_f64());
        self.serving.status.store(Arc::new(Status {
            models: self.models.iter().map(|(name, model)| model.status(name)).collect(),
            not_ready: self.not_ready(config),
            registry_up: self.outage.is_none() && self.registry_seen.is_some(),
            registry_seen: self.registry_seen,
            experiments: self.experiments(config),
        }));
        // The default model may have changed by a reload without any swap.
        let snapshot = self.serving.snapshot.load();
        if snapshot.default_model != config.default_model {
            let models = snapshot.models.clone();
            self.serving
                .snapshot
                .store(Arc::new(Snapshot { models, default_model: config.default_model.clone() }));
        }
    }

    /// Why this process is not ready: a required model without a version, or nothing served at all.
    fn not_ready(&self, config: &Config) -> Option<String> {
        // Who waits to be asked for models is ready to be asked.
        if self.asked {
            return None;
        }
        let why = |name: &ModelName, model: &ModelState| {
            let error =
                model.problem.as_ref().or_else(|| model.failed.values().next_back().map(|f| &f.error));
            match error {
                // Its files may still be written, or another version may still be tried.
                _ if !model.tried => format!("model `{name}` is still loading"),
                Some(error) => format!("model `{name}`: {error}"),
                None => format!("model `{name}` has no version to serve"),
            }
        };
        for name in &config.registry.required {
            match self.models.get(name) {
                Some(model) if model.default.is_some() => {}
                Some(model) => {
                    // What cannot be asked for now does not load.
                    let outage = self.outage_text().filter(|_| !model.tried);
                    return Some(outage.unwrap_or_else(|| why(name, model)));
                }
                None => {
                    let missing = || format!("model `{name}` is not in the registry");
                    return Some(self.outage_text().unwrap_or_else(missing));
                }
            }
        }
        // What cannot be asked for now is not waited for, and what is new takes nothing from what serves.
        let was_ready = self.serving.status.load().not_ready.is_none();
        let untried = self.models.iter().find(|(_, model)| !model.tried);
        let waiting = untried.filter(|_| self.outage.is_none() && !was_ready);
        if self.models.values().any(|model| model.default.is_some()) {
            return waiting.map(|(name, _)| format!("model `{name}` is still loading"));
        }
        let error = waiting.or_else(|| self.models.iter().next()).map(|(name, model)| why(name, model));
        Some(self.outage_text().or(error).unwrap_or_else(|| "the registry holds no model".into()))
    }

    /// Why the registry does not answer.
    fn outage_text(&self) -> Option<String> {
        self.outage.as_ref().map(|outage| outage.error.detail.clone())
    }
}

impl ModelState {
    fn served(&self, name: &ModelName, before: Option<&ServedModel>) -> ServedModel {
        let versions =
            self.loaded.iter().map(|(number, loaded)| (*number, (loaded.stage, loaded.version.clone())));
        ServedModel {
            name: name.clone(),
            default: self.default.and_then(|v| self.loaded.get(&v)).map(|loaded| loaded.version.clone()),
            versions: versions.collect(),
            aliases: self.aliases(before),
            router: None,
        }
    }

    /// What aliases mean. One that was moved to what must not serve means nothing; one that meant it before goes on.
    fn aliases(&self, before: Option<&ServedModel>) -> BTreeMap<String, Version> {
        let meant = |alias: &str| before.and_then(|before| before.aliases.get(alias)).copied();
        let mut aliases = self.catalog.aliases.clone();
        aliases.retain(|alias, to| !self.unsigned.contains_key(to) || meant(alias) == Some(*to));
        aliases
    }

    fn status(&self, name: &ModelName) -> ModelStatus {
        let mut numbers: Vec<Version> = self.catalog.versions.iter().map(|listed| listed.version).collect();
        numbers.extend(
            self.loaded.keys().chain(self.failed.keys()).filter(|v| !numbers.contains(v)).collect::<Vec<_>>(),
        );
        numbers.sort_unstable();
        numbers.dedup();
        ModelStatus {
            name: name.to_string(),
            problem: self.problem.as_ref().map(ReasonStatus::from),
            pin: self.pin.map(|pin| pin.to_string()),
            versions: numbers.into_iter().map(|number| self.version_status(number)).collect(),
        }
    }

    fn version_status(&self, number: Version) -> VersionStatus {
        let listed = self.catalog.versions.iter().find(|listed| listed.version == number);
        let loaded = self.loaded.get(&number);
        let failed = self.failed.get(&number).filter(|_| loaded.is_none() || listed.is_some());
        let aliases: Vec<String> =
            self.catalog.aliases.iter().filter(|(_, v)| **v == number).map(|(a, _)| a.clone()).collect();
        let kept = self.previous.contains(&number) && self.default != Some(number) && aliases.is_empty();
        let state = match (loaded, failed) {
            _ if self.loading == Some(number) => State::Loading,
            (Some(_), _) if kept => State::Standby,
            (Some(_), _) => State::Serving,
            (None, Some(failed)) if failed.error.code == Reason::Quarantined => State::Quarantined,
            (None, Some(_)) => State::Failed,
            (None, None) => State::Standby,
        };
        let version = loaded.map(|l| &l.version);
        VersionStatus {
            version: number.to_string(),
            stage: listed
                .map_or_else(|| loaded.map_or("None", |l| l.stage.name()), |listed| listed.stage.name()),
            aliases,
            state,
            engine: version.map(|v| v.engine.name()),
            engine_reason: version.map(|v| v.engine_reason.clone()),
            digest: version.map(|v| v.digest.to_string()),
            load_ms: version.map(|v| (v.load_time.as_secs_f64() * 1e6).round() / 1e3),
            bytes: version.map(|v| v.memory_bytes),
            reason: failed.map(|f| ReasonStatus::from(&f.error)),
        }
    }
}
