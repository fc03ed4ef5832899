//! Serving without the registry: what the cache holds, when the store or an object of it is gone.

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
            let model = &self.models[name];
            // The store may be about to deliver one of them.
            if !model.unsigned.contains_key(&version) && model.loading != Some(version) {
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
        self.load(name, pin, Origin::Cache, config)?;
        self.arrange(name, config);
        Ok(())
    }

    /// When the version that should serve cannot be had and none does, the one that served last does, out of the
    /// cache: an old answer is better than none.
    pub(super) fn stand_in(&mut self, name: &ModelName, config: &Config) -> Result<(), Gone> {
        let Some(model) = self.models.get(name) else { return Ok(()) };
        let lacks = model.default.is_none() && !model.stopped && model.pending.is_none();
        let Some(cache) = self.cache.clone().filter(|_| self.remote && lacks) else { return Ok(()) };
        // Where the registry wants nothing to serve, nothing does.
        let (Some(goal), Some(served)) = (self.goal(name, config), cache.served(name)) else { return Ok(()) };
        let Some(version) = Version::new(served.version) else { return Ok(()) };
        let model = &self.models[name];
        let signed = || model.signed(name, version, false, &self.keys, None).is_ok();
        if config.registry.require_signature && !signed() {
            return Ok(());
        }
        let out_of_reach = |code| matches!(code, Reason::MissingFile | Reason::Unreachable);
        let broken = model.failed.get(&version).is_some_and(|failed| !out_of_reach(failed.error.code));
        let listed = entry(&served, version);
        let aside = self.quarantine(name, &listed).is_some();
        if aside || version == goal && (broken || model.loaded.contains_key(&version)) {
            return Ok(());
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
        self.finish_load(name, &listed, Ok(artefact), config)?;
        if self.models[name].loaded.contains_key(&version) {
            tracing::warn!(
                model = %name, version = served.version, wanted = goal.get(),
                "the version that served last stands in, from the cache"
            );
            self.known(name).fallback = Some(version);
            self.arrange(name, config);
        }
        Ok(())
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
