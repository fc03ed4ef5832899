//! Which versions ought to be loaded, which of them are due, and which one the plain name means.

use std::time::Instant;

use super::{Due, Loader, ModelState};
use crate::config::Config;
use crate::model::{ModelName, Stage, Version};
use crate::registry::Catalog;

impl Catalog {
    /// What the plain name should answer with: Production if any version has a stage, else the highest.
    pub(super) fn default(&self) -> Option<Version> {
        let staged = self.versions.iter().any(|listed| listed.stage != Stage::None);
        let serves = |stage| !staged || stage == Stage::Production;
        self.versions.iter().rev().find(|listed| serves(listed.stage)).map(|listed| listed.version)
    }

    /// The versions to have loaded, the most important first: the default, the newest in Staging, the targets
    /// of aliases, and in a bare repository the older ones as stand-ins should the newest be broken.
    pub(super) fn wanted(&self) -> Vec<Version> {
        let staging = self.versions.iter().rev().find(|listed| listed.stage == Stage::Staging);
        let mut wanted: Vec<Version> = self.default().into_iter().collect();
        let named = staging.map(|listed| listed.version).into_iter().chain(self.aliases.values().copied());
        let stand_ins = self.versions.iter().rev().map(|listed| listed.version).filter(|_| !self.managed);
        for version in named.chain(stand_ins) {
            if !wanted.contains(&version) {
                wanted.push(version);
            }
        }
        wanted
    }

    /// Whether a stage or an alias asks for this version, rather than its being a stand-in.
    pub(super) fn is_named(&self, version: Version) -> bool {
        self.managed || self.default() == Some(version)
    }
}

impl ModelState {
    /// Whether any of `wanted` is loaded.
    pub(super) fn serves_any(&self, wanted: &[Version]) -> bool {
        wanted.iter().any(|version| self.loaded.contains_key(version))
    }

    /// Whether the registry still offers this version, or says by its index that it should not serve.
    fn lists(&self, version: Version) -> bool {
        self.catalog.managed || self.catalog.versions.iter().any(|listed| listed.version == version)
    }
}

impl Loader {
    /// Compares a wanted version with what is loaded and what failed.
    pub(super) fn due(&mut self, name: &ModelName, version: Version, config: &Config) -> Due {
        let Some(model) = self.models.get_mut(name) else { return Due::Failed };
        let Some(listed) = model.catalog.versions.iter().find(|listed| listed.version == version) else {
            return Due::Failed;
        };
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
    pub(super) fn arrange(
        &mut self,
        name: &ModelName,
        wanted: &[Version],
        keep_previous: usize,
        config: &Config,
    ) {
        let Some(model) = self.models.get_mut(name) else { return };
        let goal = wanted.first().copied().filter(|v| model.loaded.contains_key(v));
        // What was deleted from a bare repository serves on until there is something newer.
        let goal = goal.filter(|goal| model.default.is_none_or(|now| *goal > now || model.lists(now)));
        // A goal that failed leaves what served; a goal that never was (nothing in Production) serves nothing.
        let stand_in =
            || wanted.iter().copied().find(|v| !model.catalog.managed && model.loaded.contains_key(v));
        let default = match (goal, model.default) {
            (Some(goal), _) => Some(goal),
            _ if model.stopped => None,
            (None, Some(now)) if model.catalog.default().is_some() || model.catalog.versions.is_empty() => {
                Some(now)
            }
            (None, None) if !wanted.is_empty() => stand_in(),
            (None, _) => None,
        };
        let swapped = default != model.default;
        if swapped {
            let former = std::mem::replace(&mut model.default, default);
            model.previous.retain(|v| Some(*v) != default);
            model.previous.splice(0..0, former);
            model.last_swap = Some(Instant::now());
        }
        model.previous.truncate(keep_previous);
        if model.stopped {
            model.previous.clear();
        }
        let keep = |v: &Version| {
            Some(*v) == model.default
                || model.previous.contains(v)
                || (model.catalog.managed && wanted.contains(v))
        };
        let gone: Vec<Version> = model.loaded.keys().copied().filter(|v| !keep(v)).collect();
        let mut retired = Vec::new();
        for version in gone {
            retired.extend(model.loaded.remove(&version).map(|loaded| (loaded.version, loaded.stage)));
        }
        let restaged = self.restage(name);
        if swapped || restaged || !retired.is_empty() || self.needs_publishing(name) {
            self.publish(name, config);
        }
        if swapped {
            self.metrics.count_swap(name.as_str());
            tracing::info!(model = %name, version = default.map_or(0, Version::get), "now serving");
        }
        for (version, stage) in retired {
            let (number, digest) = (version.version.to_string(), version.digest.to_string());
            self.metrics.forget_version(&version.labels(&number, stage, &digest));
            self.retired.push(version);
        }
    }

    /// Takes over changed stages of loaded versions; returns whether any changed.
    fn restage(&mut self, name: &ModelName) -> bool {
        let Some(model) = self.models.get_mut(name) else { return false };
        let mut changed = false;
        for (number, loaded) in &mut model.loaded {
            let listed = model.catalog.versions.iter().find(|listed| listed.version == *number);
            let Some(stage) = listed.map(|listed| listed.stage).filter(|stage| *stage != loaded.stage) else {
                continue;
            };
            let (version, digest) = (number.to_string(), loaded.version.digest.to_string());
            self.metrics.restage(&loaded.version.labels(&version, loaded.stage, &digest), stage.name());
            loaded.stage = stage;
            changed = true;
        }
        changed
    }
}
