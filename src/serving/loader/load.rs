//! From a listed version to a loaded one: read and verify, make room, have it built, take note of how that went.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::build::{Build, ChildTrial};
use super::{Failed, Gone, Loaded, Loader, Origin};
use crate::config::Config;
use crate::engine::LoadOptions;
use crate::model::{LoadError, ModelName, Reason, Version};
use crate::registry::cache::{Quarantine, Served};
use crate::registry::digest::Digest;
use crate::registry::{Artefact, Listed, Source};
use crate::serving::ServedVersion;
use crate::serving::pacer::Pacer;

/// Memory that a load may take, as a multiple of the file: its bytes, the parsed graph, the session.
const MEMORY_FACTOR: u64 = 3;

impl Loader {
    /// Loads one version; whatever happens is in log, metric and state afterwards.
    ///
    /// # Errors
    /// When the loader is to end, or the work it waited for has panicked.
    pub(super) fn load(
        &mut self,
        name: &ModelName,
        version: Version,
        origin: Origin,
        config: &Config,
    ) -> Result<(), Gone> {
        self.check_signatures(name, config);
        let Some(model) = self.models.get_mut(name) else { return Ok(()) };
        let Some(listed) = model.catalog.listed(version).cloned() else { return Ok(()) };
        if model.unsigned.contains_key(&version) {
            return Ok(());
        }
        if model.loaded.get(&version).is_some_and(|loaded| loaded.token == listed.token)
            && origin == Origin::Cache
        {
            return Ok(());
        }
        if let Some(found) = self.quarantine(name, &listed) {
            self.refused(name, &listed, quarantined(name, &found), Some(found.left()));
            return Ok(());
        }
        let Some(model) = self.models.get_mut(name) else { return Ok(()) };
        model.loading = Some(version);
        self.publish_status(config);
        let artefact = self.bring(name, &listed, origin, config)?;
        self.finish_load(name, &listed, artefact, config)
    }

    /// Reads and verifies a version's files.
    fn bring(
        &mut self,
        name: &ModelName,
        listed: &Listed,
        origin: Origin,
        config: &Config,
    ) -> Result<Result<Artefact, LoadError>, Gone> {
        let of = (name.clone(), listed.clone());
        let described = self.read(origin, move |source| source.describe(&of.0, &of.1))?;
        let described = match described {
            Ok(described) => described,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.fit_into_memory(described.bytes, config)? {
            return Ok(Err(error));
        }
        let (of, version) = (name.clone(), listed.version);
        let mut pacer = self.pacer(config);
        self.read(origin, move |source| source.fetch(&of, version, described, &mut || pacer.pace()))
    }

    /// Has a hand read from the store, or from the cache alone.
    fn read<T: Send + 'static>(
        &mut self,
        origin: Origin,
        job: impl FnOnce(Source<'_>) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let ticket = match origin {
            Origin::Registry => {
                let ticket = self.registry.ask(move |registry| job(registry.source()));
                return self.answer_to(&ticket);
            }
            Origin::Cache => {
                let cache = self.cache.clone();
                self.bench.ask(move |_| job(Source { store: None, cache: cache.as_ref() }))
            }
        };
        self.wait(&ticket)
    }

    /// Builds and tries what was read, and takes note of how it went.
    pub(super) fn finish_load(
        &mut self,
        name: &ModelName,
        listed: &Listed,
        artefact: Result<Artefact, LoadError>,
        config: &Config,
    ) -> Result<(), Gone> {
        let (version, start) = (listed.version, Instant::now());
        let result = match artefact {
            Ok(artefact) => self.build(name, listed, artefact, config)?,
            Err(error) => Err(error),
        };
        let Some(model) = self.models.get_mut(name) else { return Ok(()) };
        model.loading = None;
        match result {
            Ok((served, record)) => {
                self.metrics.count_load(name.as_str(), None);
                tracing::info!(
                    model = %name, version = version.get(), engine = served.engine.name(),
                    reason = %served.engine_reason, load_ms = start.elapsed().as_millis() as u64, "loaded"
                );
                model.failed.remove(&version);
                if let Some(cache) = &self.cache {
                    cache.loaded(name, version, &listed.token);
                }
                let choice = config.model(name.as_str()).engine;
                let (token, stage) = (listed.token.clone(), listed.stage);
                let loaded = Loaded { version: Arc::new(served), token, stage, choice, record };
                // Files of a bare repository may change under the same number; the old content is let go.
                if let Some(old) = model.loaded.insert(version, loaded) {
                    if model.default == Some(version) {
                        model.last_swap = Some(Instant::now());
                        self.metrics.count_swap(name.as_str());
                    }
                    self.retire(old.version);
                }
                self.evict(config);
            }
            Err(error) => {
                self.refused(name, listed, error, None);
                // What was refused takes room as well.
                self.evict(config);
            }
        }
        Ok(())
    }

    /// Takes note of a version that is not loaded, and of when to try again: `again`, or what fits the reason.
    fn refused(&mut self, name: &ModelName, listed: &Listed, error: LoadError, again: Option<Duration>) {
        let version = listed.version;
        tracing::warn!(
            model = %name, version = version.get(), code = %error.code, detail = %error.detail,
            "version is refused; what served before keeps serving"
        );
        self.metrics.count_load(name.as_str(), Some(error.code));
        let Some(model) = self.models.get_mut(name) else { return };
        let attempts = model.failed.get(&version).map_or(1, |f| f.attempts + 1);
        let pause = again.or_else(|| back_off(error.code, attempts));
        let retry = pause.map(|pause| Instant::now() + pause);
        model.failed.insert(version, Failed { token: listed.token.clone(), error, attempts, retry });
    }

    /// Whether a version is set aside.
    pub(super) fn quarantine(&self, name: &ModelName, listed: &Listed) -> Option<Quarantine> {
        self.cache.as_ref()?.quarantine(name, listed.version, &listed.token)
    }

    /// Turns verified bytes into a version that can serve, and into what the cache is to keep of it.
    fn build(
        &mut self,
        name: &ModelName,
        listed: &Listed,
        artefact: Artefact,
        config: &Config,
    ) -> Result<Result<(ServedVersion, Served), LoadError>, Gone> {
        let start = Instant::now();
        let settings = config.model(name.as_str());
        let cache = self.cache.as_ref();
        let note = cache.map(|cache| cache.begin(name, listed.version, &listed.token));
        let note = note.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "the cache cannot be written; a load that kills the process would not be noticed");
            None
        });
        crate::failpoint::at("noted");
        let digest = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Digest::of(bytes, &mut || ()));
        let beside = [digest(&artefact.golden), digest(&artefact.profile)];
        let record =
            Served::new(listed, (artefact.format.file_name().into(), artefact.digest), beside[0], beside[1]);
        let keep = cache.cloned().filter(|_| self.remote);
        let model = self.models.get(name);
        let served = model.and_then(|model| model.loaded.get(&model.default?));
        let build = Build {
            name: name.clone(),
            version: listed.version,
            choice: settings.engine,
            options: LoadOptions { workers: self.callers },
            warmup_rows: settings.warmup_rows,
            checks: settings.checks,
            prediction_range: settings.prediction_range,
            served: served.filter(|_| !settings.allow_breaking).map(|l| l.version.signature.clone()),
            replaces: model
                .and_then(|model| model.loaded.get(&listed.version))
                .map(|old| (old.version.clone(), old.stage)),
            created: listed.created.clone(),
            stage: listed.stage,
            child: ChildTrial {
                choice: config.registry.trial_load,
                timeout: config.registry.trial_timeout,
                budget: config.memory.budget_bytes,
                stopping: self.stopping.clone(),
            },
            metrics: self.metrics.clone(),
            max_series: config.metrics.max_series,
            start,
        };
        let mut pacer = self.pacer(config);
        let ticket = self.bench.ask(move |bench| {
            if let Some(cache) = keep {
                // Should the version ever stand in, it is tried on its examples and watched as before.
                for (digest, bytes) in beside.iter().zip([&artefact.golden, &artefact.profile]) {
                    let _ = digest.zip(bytes.as_ref()).map(|(digest, bytes)| cache.keep_blob(&digest, bytes));
                }
            }
            let scratch = &mut bench.scratch;
            // Engines are not trusted with a model's bytes: a panic of theirs is one more way to be refused.
            catch_unwind(AssertUnwindSafe(|| build.run(artefact, scratch, &mut pacer))).unwrap_or_else(|_| {
                Err(LoadError::new(Reason::Crashed, "the engine panicked while loading; see the log"))
            })
        });
        let result = self.wait(&ticket)?;
        drop(note);
        Ok(result.map(|served| (served, record)))
    }

    fn pacer(&self, config: &Config) -> Pacer {
        Pacer::new(config.registry.slow_load && !self.serving.snapshot.load().models.is_empty())
    }

    /// Has a version freed once nobody uses it any more.
    pub(super) fn retire(&mut self, version: Arc<ServedVersion>) {
        self.unswept = true;
        drop(self.bench.ask(move |bench| bench.retired.push(version)));
    }

    /// Keeps the cache below its size, without what is loaded.
    fn evict(&self, config: &Config) {
        let Some(cache) = self.cache.clone().filter(|_| self.remote) else { return };
        let loaded = self.models.values().flat_map(|model| model.loaded.values());
        let mut needed: Vec<Digest> = loaded.flat_map(|loaded| loaded.record.digests()).collect();
        // After a start, others have not been loaded yet; those of models that are gone may go, should room be needed.
        let known = |name: &ModelName| self.registry_seen.is_none() || self.models.contains_key(name);
        let chosen = cache.models().into_iter().filter(|name| super::is_chosen(name, config) && known(name));
        needed.extend(chosen.filter_map(|name| cache.served(&name)).flat_map(|served| served.digests()));
        // What a rollback of this sidecar would go to goes last, and goes before the cache grows beyond its size.
        let former = self.models.keys().filter_map(|name| cache.former(name));
        let former: Vec<Digest> = former.flat_map(|former| former.digests()).chain(needed.clone()).collect();
        let max = config.registry.cache_max_bytes;
        drop(self.bench.ask(move |_| {
            crate::failpoint::at("evict");
            cache.evict(max, &former);
            cache.evict(max, &needed);
        }));
    }

    /// Makes room for a file of `bytes` within the memory budget, dropping kept versions first.
    pub(super) fn fit_into_memory(
        &mut self,
        bytes: u64,
        config: &Config,
    ) -> Result<Result<(), LoadError>, Gone> {
        let Some(budget) = config.memory.budget_bytes else { return Ok(Ok(())) };
        let need = bytes.saturating_mul(MEMORY_FACTOR);
        let fits = || crate::process::resident_bytes().is_none_or(|resident| resident + need <= budget);
        if fits() {
            return Ok(Ok(()));
        }
        // What fits in no case costs nobody the version to roll back to.
        let names: Vec<ModelName> = self.models.keys().filter(|_| need < budget).cloned().collect();
        for name in names {
            if let Some(model) = self.models.get_mut(&name) {
                model.previous.clear();
                self.arrange(&name, config);
            }
        }
        let sweeping = self.bench.ask(|bench| bench.retired.sweep());
        self.wait(&sweeping)?;
        if fits() {
            return Ok(Ok(()));
        }
        let resident = crate::process::resident_bytes().unwrap_or(0);
        let detail = format!(
            "loading needs about {need} bytes beside {resident} in use, memory.budget_bytes is {budget}"
        );
        Ok(Err(LoadError::new(Reason::Memory, detail)))
    }
}

/// How long to leave a version alone that was refused so many times; `None`: until something changes.
fn back_off(code: Reason, attempts: u32) -> Option<Duration> {
    let most = match code {
        Reason::MissingFile | Reason::Unreachable => 60,
        // Each attempt costs a download, or a minute of the processor, and hardly ever comes out otherwise.
        Reason::BadDigest | Reason::Memory | Reason::Timeout => 3600,
        _ => return None,
    };
    Some(Duration::from_secs((1 << attempts.min(12)).min(most)))
}

fn quarantined(name: &ModelName, found: &Quarantine) -> LoadError {
    let detail = format!(
        "a process died while it loaded this version ({} times); it is tried again {}, or now by `sidegate registry sync \
         {name}`",
        found.times,
        found.until_text()
    );
    LoadError::new(Reason::Quarantined, detail)
}
