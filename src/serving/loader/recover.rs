//! Serving without the registry: what the cache holds, when the store or an object of it is gone.

use std::time::Instant;

use super::{Gone, Loader, ModelState, Origin};
use crate::config::Config;
use crate::model::{ModelName, Reason, Version};
use crate::registry::cache::Served;
use crate::registry::{Catalog, Listed, Registry, Source};

impl Loader {
    /// Sets aside what brought the process before this one down while it was loaded.
    pub(super) fn judge(&self) {
        let Some(cache) = &self.cache else { return };
        cache.clean();
        for (model, version) in cache.judge() {
            tracing::error!(
                %model, version,
                "the process before this one died while it loaded this version; it is set aside for a while"
            );
        }
    }

    /// Loads what the cache holds of every model that is not served yet. Once, at a start without the store.
    pub(super) fn recall(&mut self) -> Result<(), Gone> {
        if std::mem::replace(&mut self.recalled, true) || !self.remote {
            return Ok(());
        }
        let Some(cache) = self.cache.clone() else { return Ok(()) };
        let config = self.config.load_full();
        let names = cache.models().into_iter().filter(|name| super::is_chosen(name, &config));
        for name in names.take(config.registry.max_models) {
            self.recall_model(&name, &config)?;
        }
        self.publish_status(&config);
        Ok(())
    }

    /// Loads what the cache holds of a model of which nothing serves. Once: it does not get more.
    pub(super) fn recall_model(&mut self, name: &ModelName, config: &Config) -> Result<(), Gone> {
        let Some(cache) = self.cache.clone().filter(|_| self.remote) else { return Ok(()) };
        if self.models.get(name).is_some_and(|m| m.default.is_some() || m.stopped || m.recalled) {
            return Ok(());
        }
        if self.models.get(name).is_none_or(|model| model.catalog.is_empty()) {
            let former = cache.former(name);
            let catalog =
                Registry::remembered(&cache, name).or_else(|| bare(&cache.served(name)?, former.as_ref()));
            let Some(catalog) = catalog else { return Ok(()) };
            self.known(name).catalog = catalog;
        }
        self.known(name).recalled = true;
        self.check_signatures(name, config);
        for version in self.wanted(name, config) {
            // The store may be about to deliver one of them; an operator may have ended the model meanwhile.
            let may = |m: &ModelState| !m.unsigned.contains_key(&version) && m.loading != Some(version);
            if self.models.get(name).is_some_and(may) {
                self.load(name, version, Origin::Cache, config)?;
            }
        }
        self.arrange(name, config);
        self.stand_in(name, config)?;
        let model = self.known(name);
        // The store may have what the cache has not.
        model.failed.retain(|_, failed| failed.error.code == Reason::Quarantined);
        model.tried |= model.default.is_some();
        Ok(())
    }

    /// Loads what operators pinned while the store was away, where the cache has it.
    pub(super) fn recall_pins(&mut self, config: &Config) -> Result<(), Gone> {
        let names: Vec<ModelName> = self.models.keys().cloned().collect();
        names.iter().try_for_each(|name| self.recall_pin(name, config))
    }

    /// See [`Loader::recall_pins`].
    pub(super) fn recall_pin(&mut self, name: &ModelName, config: &Config) -> Result<(), Gone> {
        let Some(model) = self.models.get(name).filter(|_| self.remote) else { return Ok(()) };
        let lacks = |pin: &Version| !model.loaded.contains_key(pin) && !model.failed.contains_key(pin);
        let Some(pin) = model.pin.filter(lacks) else { return Ok(()) };
        self.check_signatures(name, config);
        if self.models.get(name).is_none_or(|model| model.unsigned.contains_key(&pin)) {
            return Ok(());
        }
        match self.former_without_manifest(name, pin) {
            Some(former) => drop(self.load_record(name, &former, pin, config)?),
            None => self.load(name, pin, Origin::Cache, config)?,
        }
        self.arrange(name, config);
        Ok(())
    }

    /// Loads from the cache what was just pinned and may be there, before a store is asked that may not answer; whether
    /// every pinned version serves now.
    pub(super) fn hasten_pins(&mut self) -> Result<bool, Gone> {
        let config = self.config.load_full();
        let former = |name: &ModelName| Version::new(self.cache.as_ref()?.former(name)?.version);
        let lacks = |model: &ModelState| model.pin.filter(|pin| !model.loaded.contains_key(pin));
        let pinned = self.models.iter().filter_map(|(name, model)| Some((name, lacks(model)?)));
        let likely = pinned.filter(|(name, pin)| self.outage.is_some() || former(name) == Some(*pin));
        let likely: Vec<(ModelName, Version)> = likely.map(|(name, pin)| (name.clone(), pin)).collect();
        for (name, pin) in likely {
            // The store may be about to deliver another one, or this one.
            let loading = self.models.get(&name).and_then(|model| model.loading);
            if loading == Some(pin) {
                continue;
            }
            self.recall_pin(&name, &config)?;
            let Some(model) = self.models.get_mut(&name) else { continue };
            model.loading = loading;
            // The store may have what the cache has not.
            if model.failed.get(&pin).is_some_and(|failed| out_of_reach(failed.error.code)) {
                model.failed.remove(&pin);
            }
        }
        self.publish_status(&config);
        Ok(self.models.values().all(|model| model.pin.is_none() || model.default == model.pin))
    }

    /// The record of a pinned version that served before, if nothing else says of which files it consists.
    fn former_without_manifest(&self, name: &ModelName, pin: Version) -> Option<Served> {
        let listed = self.models.get(name)?.catalog.listed(pin).filter(|listed| listed.manifest.is_none())?;
        let former = self.cache.as_ref()?.former(name)?;
        Some(former).filter(|former| former.version == pin.get() && former.token == listed.token)
    }

    /// Loads a version that once served by what the cache recorded of it; whether its files were there.
    fn load_record(
        &mut self,
        name: &ModelName,
        record: &Served,
        version: Version,
        config: &Config,
    ) -> Result<bool, Gone> {
        let Some(cache) = self.cache.clone() else { return Ok(false) };
        let listed = entry(record, version);
        if self.quarantine(name, &listed).is_some() {
            return Ok(false);
        }
        let (of, served) = (name.clone(), record.clone());
        let ticket = self.bench.ask(move |_| Source::recall(&cache, &of, &served, &mut || ()));
        let artefact = match self.wait(&ticket)? {
            Ok(artefact) => artefact,
            Err(error) => {
                tracing::warn!(model = %name, version = record.version, %error, "the cache cannot help out");
                return Ok(false);
            }
        };
        let room = self.fit_into_memory(artefact.model.len() as u64, config)?;
        self.finish_load(name, &listed, room.map(|()| artefact), config)?;
        Ok(true)
    }

    /// When the version that should serve cannot be had and none does, the one that served last does, out of the
    /// cache: an old answer is better than none.
    pub(super) fn stand_in(&mut self, name: &ModelName, config: &Config) -> Result<(), Gone> {
        let Some(model) = self.models.get(name) else { return Ok(()) };
        let lacks = model.default.is_none() && !model.stopped && model.pending.is_none();
        let Some(cache) = self.cache.clone().filter(|_| lacks) else { return Ok(()) };
        // Where the registry wants nothing to serve, nothing does.
        let (Some(goal), Some(served)) = (self.goal(name, config), cache.served(name)) else { return Ok(()) };
        let Some(version) = Version::new(served.version) else { return Ok(()) };
        let Some(model) = self.models.get(name) else { return Ok(()) };
        let signed = || model.signed(name, version, false, &self.keys, None).is_ok();
        if config.registry.require_signature && !signed() {
            return Ok(());
        }
        let waits = |retry: Option<Instant>| retry.is_none_or(|at| Instant::now() < at);
        let broken = model
            .failed
            .get(&version)
            .is_some_and(|failed| !out_of_reach(failed.error.code) && waits(failed.retry));
        let listed = entry(&served, version);
        let aside = self.quarantine(name, &listed).is_some();
        if aside || broken || version == goal && model.loaded.contains_key(&version) {
            return Ok(());
        }
        if !self.remote {
            return self.stand_in_from_folder(name, version, config);
        }
        if self.load_record(name, &served, version, config)? {
            self.fall_back(name, version, config);
        }
        Ok(())
    }

    /// As [`Loader::stand_in`], where the registry is a folder, of which the cache keeps no copies.
    fn stand_in_from_folder(
        &mut self,
        name: &ModelName,
        version: Version,
        config: &Config,
    ) -> Result<(), Gone> {
        if self
            .models
            .get(name)
            .is_some_and(|model| model.catalog.managed && self.goal(name, config) != Some(version))
        {
            self.load(name, version, Origin::Registry, config)?;
            self.fall_back(name, version, config);
        }
        Ok(())
    }

    /// Lets a version stand in, if it is loaded.
    fn fall_back(&mut self, name: &ModelName, version: Version, config: &Config) {
        let Some(model) = self.models.get_mut(name) else { return };
        if model.loaded.contains_key(&version) {
            tracing::warn!(model = %name, version = version.get(), "the version that served last stands in");
            model.fallback = Some(version);
            self.arrange(name, config);
        }
    }
}

/// Whether a version was refused because its files could not be had, which may change.
fn out_of_reach(code: Reason) -> bool {
    matches!(code, Reason::MissingFile | Reason::Unreachable)
}

/// What a bare repository offered, as far as the cache knows: the version that served last, and a lower one that did
/// before, to go back to.
fn bare(served: &Served, former: Option<&Served>) -> Option<Catalog> {
    let version = Version::new(served.version)?;
    let lower = former.filter(|former| former.version < served.version);
    let lower = lower.and_then(|former| Some(entry(former, Version::new(former.version)?)));
    let versions = lower.into_iter().chain([entry(served, version)]).collect();
    Some(Catalog { versions, ..Catalog::default() })
}

fn entry(served: &Served, version: Version) -> Listed {
    Listed {
        stage: served.stage,
        created: served.created.clone(),
        manifest: served.manifest.as_deref().and_then(|digest| digest.parse().ok()),
        token: served.token.clone(),
        ..Listed::bare(version)
    }
}
