//! Which versions ought to be loaded, which of them are due, and which one the plain name means.

use std::time::Instant;

use super::{Due, Failed, Loader, ModelState};
use crate::config::{self, Config};
use crate::model::{ModelName, Stage, Version};
use crate::registry::Catalog;
use crate::registry::clock::{Clock as _, SystemClock};

impl Catalog {
    /// What the plain name should answer with: Production if any version has a stage, else the highest. During a
    /// rollout a sidecar whose moment has not come stays with the version from before. Nobody signs a rollout, so where
    /// signatures count it holds a sidecar to what it serves `now`, and brings nothing back.
    fn default(&self, name: &ModelName, pod: &str, now: Option<Version>, signed: bool) -> Option<Version> {
        let staged = self.versions.iter().any(|listed| listed.stage != Stage::None);
        let serves = |stage| !staged || stage == Stage::Production;
        let goal =
            self.versions.iter().rev().find(|listed| serves(listed.stage)).map(|listed| listed.version)?;
        let rollout = self.index.as_ref().and_then(|index| index.rollout.as_ref());
        let before = rollout
            .filter(|rollout| {
                rollout.version == goal.get() && !rollout.has_reached(pod, name, SystemClock.now())
            })
            .and_then(|rollout| Version::new(rollout.from))
            .filter(|from| self.listed(*from).is_some() && (!signed || now == Some(*from)));
        Some(before.unwrap_or(goal))
    }
}

impl ModelState {
    /// What the plain name should answer with: the pinned version, else what the registry says.
    fn goal(&self, name: &ModelName, registry: &config::Registry) -> Option<Version> {
        let pin = self.pin.filter(|pin| self.loaded.contains_key(pin) || self.catalog.listed(*pin).is_some());
        let (pod, signed) = (&registry.pod, registry.require_signature);
        pin.or_else(|| self.catalog.default(name, pod, self.default, signed)).filter(|_| !self.stopped)
    }

    /// The versions to have loaded, the most important first: the goal, those that an experiment `tests`, the newest in
    /// Staging, the targets of aliases, and in a bare repository the older ones as stand-ins should the newest be broken.
    fn wanted(&self, goal: Option<Version>, tested: &[Version]) -> Vec<Version> {
        if self.stopped {
            return Vec::new();
        }
        let catalog = &self.catalog;
        let mut wanted: Vec<Version> = goal.into_iter().collect();
        let staging = catalog.versions.iter().rev().find(|listed| listed.stage == Stage::Staging);
        let named = staging.map(|listed| listed.version).into_iter().chain(catalog.aliases.values().copied());
        let stand_ins =
            catalog.versions.iter().rev().map(|listed| listed.version).filter(|_| !catalog.managed);
        for version in tested.iter().copied().chain(named).chain(stand_ins) {
            if !wanted.contains(&version) {
                wanted.push(version);
            }
        }
        wanted
    }

    /// Whether a stage, an alias, a pin or an experiment asks for this version, rather than its being a stand-in.
    pub(super) fn is_named(&self, version: Version, config: &Config, name: &ModelName) -> bool {
        self.catalog.managed
            || self.pin == Some(version)
            || self.tested(config.experiment(name.as_str())).contains(&version)
    }

    /// Until when a swap to this version has to wait: not when it goes back, and not when an operator pinned it.
    pub(super) fn rest(&self, to: Version, config: &Config) -> Option<Instant> {
        let forward = self.default.is_some_and(|now| to >= now) && self.pin != Some(to);
        let until = self.last_swap.filter(|_| forward)?.checked_add(config.registry.min_swap_interval)?;
        Some(until).filter(|until| Instant::now() < *until)
    }

    /// Whether any of `wanted` is loaded.
    pub(super) fn serves_any(&self, wanted: &[Version]) -> bool {
        wanted.iter().any(|version| self.loaded.contains_key(version))
    }

    /// Whether the registry still offers this version, or says by its index that it should not serve.
    fn lists(&self, version: Version) -> bool {
        self.catalog.managed || self.catalog.listed(version).is_some()
    }

    /// What the plain name answers with, given what is loaded. What must not serve takes over from nothing; if it serves
    /// already, because its key was taken away since, it goes on until something else may.
    fn choice(&self, goal: Option<Version>, wanted: &[Version]) -> Option<Version> {
        let serves =
            |version: &Version| self.loaded.contains_key(version) && !self.unsigned.contains_key(version);
        let loaded = goal.filter(serves);
        // What was deleted from a bare repository serves on until there is something newer.
        let follows = |goal: &Version| {
            self.pin == Some(*goal) || self.default.is_none_or(|now| *goal > now || self.lists(now))
        };
        match (loaded.filter(follows), self.default) {
            (Some(goal), _) => Some(goal),
            _ if self.stopped => None,
            // A goal that failed leaves what served; a goal that never was (nothing in Production) serves nothing.
            (None, Some(now)) if goal.is_some() || self.catalog.versions.is_empty() => Some(now),
            (None, None) if goal.is_some() => {
                let stand_in = wanted.iter().copied().find(|v| !self.catalog.managed && serves(v));
                stand_in.or(self.fallback.filter(serves))
            }
            (None, _) => None,
        }
    }
}

impl Loader {
    /// See [`ModelState::goal`].
    pub(super) fn goal(&self, name: &ModelName, config: &Config) -> Option<Version> {
        self.models.get(name)?.goal(name, &config.registry)
    }

    /// See [`ModelState::wanted`].
    pub(super) fn wanted(&self, name: &ModelName, config: &Config) -> Vec<Version> {
        let Some(model) = self.models.get(name) else { return Vec::new() };
        model.wanted(self.goal(name, config), &model.tested(config.experiment(name.as_str())))
    }

    /// Compares a wanted version with what is loaded and what failed.
    pub(super) fn due(&mut self, name: &ModelName, version: Version, config: &Config) -> Due {
        let Some(model) = self.models.get_mut(name) else { return Due::Failed };
        let Some(listed) = model.catalog.listed(version) else {
            // A pin may hold what the registry lists no more.
            return if model.loaded.contains_key(&version) { Due::Loaded } else { Due::Failed };
        };
        if let Some(error) = model.unsigned.get(&version) {
            let failed = model.failed.get(&version);
            if failed.is_none_or(|failed| failed.error != *error) {
                tracing::warn!(model = %name, version = version.get(), detail = %error.detail, "version must not serve");
                self.metrics.count_load(name.as_str(), Some(error.code));
                let failed = Failed {
                    token: listed.token.clone(),
                    error: error.clone(),
                    attempts: 1,
                    retry: Some(Instant::now()),
                };
                model.failed.insert(version, failed);
            }
            return Due::Failed;
        }
        let choice = config.model(name.as_str()).engine;
        if model.loaded.get(&version).is_some_and(|l| l.token == listed.token && l.choice == choice) {
            return Due::Loaded;
        }
        if let Some(failed) = model.failed.get(&version)
            && failed.token == listed.token
            && failed.retry.is_none_or(|at| Instant::now() < at)
        {
            return Due::Failed;
        }
        let seen = model.looks.insert(version, listed.token.clone());
        if listed.settled || seen.as_ref() == Some(&listed.token) { Due::Load } else { Due::Settling }
    }

    /// Settles default, previous and unwanted versions of a model after its loads, and publishes the result.
    pub(super) fn arrange(&mut self, name: &ModelName, config: &Config) {
        let (goal, wanted) = (self.goal(name, config), self.wanted(name, config));
        if self.models.get(name).is_some_and(|model| model.default != goal) {
            self.check_signatures(name, config);
        }
        let Some(model) = self.models.get_mut(name) else { return };
        let mut default = model.choice(goal, &wanted);
        // What serves may serve on until the interval is over, if it may serve at all.
        let may_stay = model.default.is_some_and(|now| model.loaded.contains_key(&now) && model.lists(now))
            && model.default.is_none_or(|now| !model.unsigned.contains_key(&now));
        if may_stay && default != model.default && default.is_some_and(|to| model.rest(to, config).is_some())
        {
            default = model.default;
        }
        let swapped = default != model.default;
        if swapped {
            let former = std::mem::replace(&mut model.default, default);
            model.previous.retain(|v| Some(*v) != default);
            model.previous.splice(0..0, former);
            model.last_swap = Some(Instant::now());
        }
        model.previous.truncate(config.registry.keep_previous);
        if model.stopped {
            model.previous.clear();
        }
        let snapshot = self.serving.snapshot.load();
        let router = snapshot.models.get(name).and_then(|served| served.router.as_ref());
        let held = model.held(config.experiment(name.as_str()), router);
        let keep = |v: &Version| {
            Some(*v) == model.default
                || held.contains(&Some(*v))
                || model.previous.contains(v)
                || (model.is_named(*v, config, name) && wanted.contains(v))
        };
        let gone: Vec<Version> = model.loaded.keys().copied().filter(|v| !keep(v)).collect();
        let mut retired = Vec::new();
        for version in gone {
            retired.extend(model.loaded.remove(&version).map(|loaded| (loaded.version, loaded.stage)));
        }
        let restaged = self.restage(name);
        if swapped || restaged || !retired.is_empty() || self.needs_publishing(name, config) {
            crate::failpoint::at("swap");
            self.publish(name, config);
            crate::failpoint::at("published");
        }
        if swapped {
            self.metrics.count_swap(name.as_str());
            match default {
                Some(version) => tracing::info!(model = %name, version = version.get(), "now serving"),
                None => tracing::info!(model = %name, "no version answers the plain name any more"),
            }
        }
        self.keep_served(name);
        for (version, stage) in retired {
            let (number, digest) = (version.version.to_string(), version.digest.to_string());
            self.metrics.forget_version(&version.labels(&number, stage, &digest));
            self.retire(version);
        }
    }

    /// Has the cache remember what serves, should the registry be gone at the next start.
    fn keep_served(&mut self, name: &ModelName) {
        let Some(cache) = &self.cache else { return };
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(record) = model.default.and_then(|v| model.loaded.get(&v)).map(|loaded| &loaded.record)
        else {
            return;
        };
        if model.remembered.as_ref() == Some(record) {
            return;
        }
        crate::failpoint::at("record");
        // First, so that a process that ends in between has what served twice and not its successor alone.
        let before = model.remembered.clone().or_else(|| cache.served(name));
        let before = before.filter(|before| before.version != record.version);
        let kept = before.map_or(Ok(()), |before| cache.keep_former(name, &before));
        match kept.and_then(|()| cache.keep_served(name, record)) {
            Ok(()) => {
                crate::failpoint::at("recorded");
                model.remembered = Some(record.clone());
            }
            // It is tried again with every look, and said once.
            Err(error) => {
                if model.unkept.as_ref() != Some(record) {
                    tracing::warn!(model = %name, %error, "the cache cannot be written");
                }
                model.unkept = Some(record.clone());
            }
        }
    }

    /// Takes over changed stages of loaded versions, of those that may serve; returns whether any changed.
    fn restage(&mut self, name: &ModelName) -> bool {
        let Some(model) = self.models.get_mut(name) else { return false };
        let mut changed = false;
        for (number, loaded) in &mut model.loaded {
            let listed = model.catalog.versions.iter().find(|listed| listed.version == *number);
            let Some(stage) = listed.map(|listed| listed.stage).filter(|stage| *stage != loaded.stage) else {
                continue;
            };
            // Into a stage that can be asked for; out of one it may go without a signature.
            if matches!(stage, Stage::Production | Stage::Staging) && model.unsigned.contains_key(number) {
                continue;
            }
            let (version, digest) = (number.to_string(), loaded.version.digest.to_string());
            self.metrics.restage(&loaded.version.labels(&version, loaded.stage, &digest), stage.name());
            loaded.stage = stage;
            changed = true;
        }
        changed
    }
}
