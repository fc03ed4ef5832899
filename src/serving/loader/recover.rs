//! Serving without the registry: what the cache holds, when the store or an object of it is gone.

use std::time::Instant;

use super::{Gone, Loader, Origin};
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
            let catalog = Registry::remembered(&cache, name).or_else(|| bare(&cache.served(name)?));
            let Some(catalog) = catalog else { return Ok(()) };
            self.known(name).catalog = catalog;
        }
        self.known(name).recalled = true;
        self.check_signatures(name, config);
        for version in self.wanted(name, config) {
            // The store may be about to deliver one of them; an operator may have ended the model meanwhile.
            let may =
                |m: &super::ModelState| !m.unsigned.contains_key(&version) && m.loading != Some(version);
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
        self.load(name, pin, Origin::Cache, config)?;
        self.arrange(name, config);
        Ok(())
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
        let out_of_reach = |code| matches!(code, Reason::MissingFile | Reason::Unreachable);
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
        let cached = cache.clone();
        let (of, record) = (name.clone(), served.clone());
        let ticket = self.bench.ask(move |_| Source::recall(&cached, &of, &record, &mut || ()));
        let artefact = match self.wait(&ticket)? {
            Ok(artefact) => artefact,
            Err(error) => {
                tracing::warn!(model = %name, version = served.version, %error, "nothing can stand in");
                return Ok(());
            }
        };
        let room = self.fit_into_memory(artefact.model.len() as u64, config)?;
        self.finish_load(name, &listed, room.map(|()| artefact), config)?;
        self.fall_back(name, version, config);
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

/// What a bare repository offered, as far as the cache knows: the version that served last.
fn bare(served: &Served) -> Option<Catalog> {
    let version = Version::new(served.version)?;
    Some(Catalog { versions: vec![entry(served, version)], ..Catalog::default() })
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
