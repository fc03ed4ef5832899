//! Where signatures are required: which versions must not serve.
//!
//! A verdict is of its moment: what a model should answer with changes as pins end and rollouts go on. So it is made at
//! both doors, before a version is loaded and before one takes over, and not only once a look.

use super::{Loader, ModelState};
use crate::config::Config;
use crate::model::{LoadError, ModelName, Reason, Stage, Version};
use crate::registry::signature::Keys;

impl Loader {
    /// Reads the trusted keys again: they may be exchanged at any time. A folder that cannot be read changes nothing.
    pub(super) fn refresh_keys(&mut self, config: &Config) {
        let folder = config.registry.public_keys_dir.clone().unwrap_or_default();
        if !config.registry.require_signature {
            return;
        }
        match Keys::load(&folder) {
            Ok(keys) => (self.keys, self.keys_problem) = (keys, None),
            Err(error) => {
                let problem = Some(error.to_string());
                if self.keys_problem != problem {
                    tracing::error!(%error, "the keys cannot be read; those that were read before hold");
                }
                self.keys_problem = problem;
            }
        }
    }

    /// Finds the versions of a model that must not serve, among those that are loaded or wanted now. What serves when
    /// its signature stops counting keeps serving, and is reported; nothing new is made of it.
    pub(super) fn check_signatures(&mut self, name: &ModelName, config: &Config) {
        if !config.registry.require_signature {
            return;
        }
        let goal = self.goal(name, config);
        let mut versions = self.wanted(name, config);
        let Some(model) = self.models.get_mut(name) else { return };
        versions.extend(
            model.loaded.keys().copied().filter(|version| !versions.contains(version)).collect::<Vec<_>>(),
        );
        let seen = model.promoted.or_else(|| self.cache.as_ref()?.promoted(name));
        let mut newest = seen;
        model.unsigned.clear();
        for version in versions {
            // What is listed in Production can be asked for by that stage, also while a pin answers the plain name.
            let by_stage = goal == Some(version) || model.newest(Stage::Production) == Some(version);
            match model.signed(name, version, by_stage, &self.keys, seen) {
                Ok(promotion) => newest = newest.max(promotion),
                Err(error) => drop(model.unsigned.insert(version, error)),
            }
        }
        if newest != seen
            && let Some(newest) = newest
        {
            model.promoted = Some(newest);
            if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.keep_promoted(name, newest)) {
                tracing::warn!(model = %name, %error, "the cache cannot be written; a replay is noticed until this process ends");
            }
        }
    }
}

impl ModelState {
    /// Checks a version's signature and, where it is to answer the plain name by its stage, its promotion's; returns
    /// when that was.
    pub(super) fn signed(
        &self,
        name: &ModelName,
        version: Version,
        by_stage: bool,
        keys: &Keys,
        seen: Option<(u64, u64)>,
    ) -> Result<Option<(u64, u64)>, LoadError> {
        let listed = self.catalog.listed(version);
        let unsigned = || {
            let detail =
                format!("version {version} of `{name}` has no manifest in a model.json that could be signed");
            LoadError::new(Reason::BadSignature, detail)
        };
        // What the registry lists no more was checked when it was loaded.
        if listed.is_none() && self.loaded.contains_key(&version) {
            return Ok(None);
        }
        let listed = listed.ok_or_else(unsigned)?;
        let (Some(index), Some(manifest)) = (&self.catalog.index, &listed.manifest) else {
            return Err(unsigned());
        };
        // Nobody signs a rollout: it may keep a sidecar with what it serves already, and bring nothing to serve.
        let stays = self.default == Some(version)
            && index.rollout.as_ref().is_some_and(|rollout| {
                rollout.from == version.get()
                    && Version::new(rollout.version).is_some_and(|to| to != version && self.is_production(to))
            });
        // A pin is an operator's of this sidecar.
        let by_stage = by_stage && self.pin != Some(version) && !stays;
        let promoted = by_stage.then_some(listed.stage);
        let verified = keys.check(index, name, version, manifest, promoted, seen)?;
        Ok(verified.promotion_generation)
    }

    fn is_production(&self, version: Version) -> bool {
        self.catalog.listed(version).is_some_and(|listed| listed.stage == Stage::Production)
    }
}
