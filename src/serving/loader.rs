//! The loader: watches the registry and keeps [`Serving`] equal to it, on a thread of its own.
//!
//! A look compares what the registry offers with what is loaded; what is missing is read, verified, built and
//! tried away from the threads that answer requests; then one atomic store makes it visible. Any failure
//! leaves what served before, with its reason code in log, metric and status.

mod load;
mod plan;
mod publish;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::retire::Retired;
use super::{ServedVersion, Serving};
use crate::config::{Config, EngineChoice};
use crate::engine::Scratch;
use crate::metrics::Metrics;
use crate::model::{LoadError, ModelName, Reason, Stage, Version};
use crate::registry::{Catalog, Registry};

/// How soon a file that may still be written is looked at again.
const SETTLE: Duration = Duration::from_millis(200);
/// Longest pause between two attempts at a version that failed for a passing reason.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Longest that a sync waits for files that may still be written.
const SYNC_WAIT: Duration = Duration::from_secs(5);

/// Where a command's outcome goes.
type Reply = oneshot::Sender<Result<(), String>>;

/// What others ask of the loader.
pub enum Command {
    /// Look now, at one model or at all; the answer says what is wrong with the model, if anything. It waits a
    /// while for files that may still be written.
    Sync(Option<ModelName>, Reply),
    /// Stop serving a model until it is synced again.
    Unload(ModelName, Reply),
    /// End the thread.
    Stop,
}

/// The loader's own state; consumed by [`Loader::run`].
pub struct Loader {
    registry: Registry,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    serving: Arc<Serving>,
    /// Threads that call sessions: workers and offload lanes.
    callers: usize,
    scratch: Scratch,
    models: BTreeMap<ModelName, ModelState>,
    retired: Retired,
    registry_seen: Option<Instant>,
    registry_error: Option<String>,
    /// Something changes soon: look again before the interval is over.
    hurry: bool,
    /// Syncs that were looked for and not answered yet.
    syncs: Vec<OpenSync>,
    /// The configuration of the last look.
    looked_with: Arc<Config>,
}

struct OpenSync {
    name: Option<ModelName>,
    since: Instant,
    reply: Reply,
}

/// What the loader knows of one model.
#[derive(Default)]
struct ModelState {
    catalog: Catalog,
    problem: Option<LoadError>,
    loaded: BTreeMap<Version, Loaded>,
    failed: BTreeMap<Version, Failed>,
    /// Change tokens at the last look, for files that may still be written.
    looks: BTreeMap<Version, String>,
    /// What the plain name answers with.
    default: Option<Version>,
    /// Former defaults that stay loaded, newest first.
    previous: Vec<Version>,
    loading: Option<Version>,
    /// Why a version that is due is not loaded yet; the next look is soon.
    pending: Option<&'static str>,
    last_swap: Option<Instant>,
    /// Unloaded by an operator.
    stopped: bool,
    /// Every wanted version was tried at least once.
    tried: bool,
}

struct Loaded {
    version: Arc<ServedVersion>,
    token: String,
    stage: Stage,
    /// The engine that was asked for; another choice is a reason to load again.
    choice: EngineChoice,
}

struct Failed {
    token: String,
    error: LoadError,
    attempts: u32,
    retry: Option<Instant>,
}

// === impl Loader ===

impl Loader {
    /// A loader for `registry`. `callers` threads will call the sessions it builds.
    pub fn new(
        registry: Registry,
        config: Arc<ArcSwap<Config>>,
        metrics: Arc<Metrics>,
        serving: Arc<Serving>,
        callers: usize,
    ) -> Self {
        Self {
            looked_with: config.load_full(),
            registry,
            config,
            metrics,
            serving,
            callers,
            scratch: Scratch::new(0),
            models: BTreeMap::new(),
            retired: Retired::default(),
            registry_seen: None,
            registry_error: None,
            hurry: false,
            syncs: Vec::new(),
        }
    }

    /// Looks, then waits for commands or the next look, until told to stop.
    pub fn run(mut self, commands: &Receiver<Command>) {
        self.look(None);
        // From here on requests may be served: whatever a load costs, it takes the processor's spare time.
        crate::native::lower_priority();
        loop {
            match commands.recv_timeout(self.pause()) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Command::Sync(name, reply)) => {
                    for (_, model) in
                        self.models.iter_mut().filter(|(n, _)| name.as_ref().is_none_or(|w| w == *n))
                    {
                        model.stopped = false;
                        model.failed.clear();
                    }
                    self.look(name.as_ref());
                    self.syncs.push(OpenSync { name, since: Instant::now(), reply });
                }
                Ok(Command::Unload(name, reply)) => {
                    let known = self.models.get_mut(&name).map(|model| model.stopped = true);
                    self.look(Some(&name));
                    drop(reply.send(known.ok_or_else(|| format!("model `{name}` is not known"))));
                }
                Err(RecvTimeoutError::Timeout) => self.look(None),
            }
            self.answer_syncs();
        }
    }

    fn pause(&self) -> Duration {
        if self.hurry {
            return SETTLE;
        }
        // Jitter keeps many sidecars from asking a shared store at once.
        self.config.load().registry.poll_interval.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Answers the syncs whose models are as the registry says, and those that waited long enough.
    fn answer_syncs(&mut self) {
        for sync in std::mem::take(&mut self.syncs) {
            let waits = self.pending(sync.name.as_ref()).is_some() && self.registry_error.is_none();
            if waits && sync.since.elapsed() < SYNC_WAIT {
                self.syncs.push(sync);
            } else {
                drop(sync.reply.send(self.outcome(sync.name.as_ref())));
            }
        }
    }

    /// The first model, or the named one, with a version that is due and not loaded yet, and why.
    fn pending(&self, name: Option<&ModelName>) -> Option<(&ModelName, &'static str)> {
        let mut models = self.models.iter().filter(|(n, _)| name.is_none_or(|name| name == *n));
        models.find_map(|(name, model)| Some((name, model.pending?)))
    }

    /// What to answer a sync with.
    fn outcome(&self, name: Option<&ModelName>) -> Result<(), String> {
        if let Some(error) = &self.registry_error {
            return Err(error.clone());
        }
        if let Some((name, why)) = self.pending(name) {
            return Err(format!("a version of model `{name}` is not loaded yet: {why}; sync again"));
        }
        let Some(name) = name else { return Ok(()) };
        let Some(model) = self.models.get(name) else {
            return Err(format!("model `{name}` is not in the registry"));
        };
        let failure = model.problem.as_ref().or_else(|| model.failed.values().next_back().map(|f| &f.error));
        match failure {
            Some(error) => Err(error.to_string()),
            None if model.default.is_none() => Err(format!("model `{name}` has no version to serve")),
            None => Ok(()),
        }
    }

    /// One look at the registry: all models, or `only` one.
    fn look(&mut self, only: Option<&ModelName>) {
        let config = self.config.load_full();
        if !Arc::ptr_eq(&config, &self.looked_with) {
            // Another configuration may accept what this one refused.
            self.models.values_mut().for_each(|model| model.failed.clear());
            self.looked_with = config.clone();
        }
        self.end_unwanted(&config);
        match self.registry.models() {
            Ok(names) => {
                self.registry_seen = Some(Instant::now());
                self.registry_error = None;
                self.report_missing(&names);
                let names = names.into_iter().filter(|name| is_chosen(name, &config));
                for (position, name) in names.enumerate() {
                    if only.is_some_and(|only| *only != name) {
                        continue;
                    }
                    if position >= config.registry.max_models {
                        self.leave_out(name, config.registry.max_models);
                    } else {
                        self.look_at(&name, &config);
                    }
                }
            }
            Err(error) => {
                let error = format!("the registry cannot be read: {error}");
                if self.registry_error.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the registry did not answer; what is loaded keeps serving");
                }
                self.registry_error = Some(error);
            }
        }
        self.metrics.registry_up.set(i64::from(self.registry_error.is_none()));
        let pending = self.pending(None).is_some() && self.registry_error.is_none();
        self.hurry = self.retired.sweep() || pending;
        self.publish_status(&config);
    }

    /// Ends what an operator unloaded or took out of `registry.models`, whatever the registry says of it.
    fn end_unwanted(&mut self, config: &Config) {
        let chosen = |name: &ModelName| is_chosen(name, config);
        let unwanted = self.models.iter().filter(|(name, model)| model.stopped || !chosen(name));
        let unwanted: Vec<ModelName> = unwanted.map(|(name, _)| name.clone()).collect();
        for name in unwanted {
            if let Some(model) = self.models.get_mut(&name) {
                (model.stopped, model.pending) = (true, None);
            }
            self.arrange(&name, &[], 0, config);
            if !chosen(&name) {
                self.models.remove(&name);
            }
        }
    }

    /// Says of models whose folder is gone that they serve on what is loaded.
    fn report_missing(&mut self, names: &[ModelName]) {
        for (name, model) in self.models.iter_mut().filter(|(name, _)| !names.contains(name)) {
            let detail = "the model is no longer in the registry; what is loaded of it keeps serving";
            let problem = Some(LoadError::new(Reason::MissingFile, detail));
            if model.problem != problem {
                tracing::warn!(model = %name, detail, "model is missing");
            }
            (model.problem, model.pending, model.tried) = (problem, None, true);
        }
    }

    fn leave_out(&mut self, name: ModelName, cap: usize) {
        let detail =
            format!("beyond registry.max_models = {cap}; raise it or name models in registry.models");
        let model = self.models.entry(name.clone()).or_default();
        if model.problem.is_none() {
            tracing::warn!(model = %name, %detail, "model is left out");
            self.metrics.count_load(name.as_str(), Some(Reason::Unsupported));
        }
        model.problem = Some(LoadError::new(Reason::Unsupported, detail));
        model.pending = None;
        model.tried = true;
    }

    /// Brings one model to what the registry says.
    fn look_at(&mut self, name: &ModelName, config: &Config) {
        if !self.models.contains_key(name) {
            self.metrics.announce_model(name.as_str());
        }
        let catalog = self.registry.catalog(name);
        let model = self.models.entry(name.clone()).or_default();
        model.pending = None;
        match catalog {
            Ok(catalog) => {
                model.catalog = catalog;
                model.problem = None;
            }
            Err(error) => {
                if model.problem.as_ref() != Some(&error) {
                    tracing::warn!(model = %name, code = %error.code, detail = %error.detail, "model cannot be read");
                    self.metrics.count_load(name.as_str(), Some(error.code));
                }
                model.problem = Some(error);
                model.tried = true;
                return;
            }
        }
        let wanted = if model.stopped { Vec::new() } else { model.catalog.wanted() };
        let swap_allowed = model.last_swap.is_none_or(|at| at.elapsed() >= config.registry.min_swap_interval);
        let (mut complete, mut pending) = (true, None);
        for (position, version) in wanted.iter().enumerate() {
            // Below the first choice only what is asked for by stage or alias, or a stand-in when nothing serves.
            let stand_in = !self.models[name].catalog.is_named(*version) && position > 0;
            if stand_in && (self.models[name].default.is_some() || self.models[name].serves_any(&wanted)) {
                break;
            }
            match self.due(name, *version, config) {
                Due::Loaded | Due::Failed => {}
                Due::Settling => (complete, pending) = (false, Some("its files may still be written")),
                Due::Load if !swap_allowed => pending = Some("registry.min_swap_interval_ms is not over"),
                Due::Load => self.load(name, *version, config),
            }
        }
        self.arrange(name, &wanted, config.registry.keep_previous, config);
        if let Some(model) = self.models.get_mut(name) {
            model.tried |= complete;
            model.pending = pending;
        }
    }
}

/// Whether the configuration lets a model be served.
fn is_chosen(name: &ModelName, config: &Config) -> bool {
    config.registry.models.as_ref().is_none_or(|models| models.contains(name))
}

/// What is to be done about a wanted version.
enum Due {
    Loaded,
    Load,
    /// Refused, and nothing has changed since.
    Failed,
    /// Its files may still be written.
    Settling,
}
