//! The loader: watches the registry and keeps [`Serving`] equal to it, on threads of its own.
//!
//! A look compares what the registry offers with what is loaded; what is missing is read, verified, built and
//! tried away from the threads that answer requests; then one atomic store makes it visible. Any failure
//! leaves what served before, with its reason code in log, metric and status. The loader's own thread decides and waits;
//! two hands do what takes long, so that a pin or a rollback is heard at any time.

mod build;
mod experiments;
mod hand;
mod load;
mod look;
mod outage;
mod plan;
mod publish;
mod recover;
mod signed;
mod verbs;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::retire::Retired;
use super::{ServedVersion, Serving};
use crate::config::{Config, EngineChoice};
use crate::engine::Scratch;
use crate::experiment::Ruling;
use crate::metrics::Metrics;
use crate::model::{LoadError, ModelName, Stage, Version};
use crate::registry::cache::{Cache, Served};
use crate::registry::signature::Keys;
use crate::registry::{Catalog, Registry};
use hand::{Hand, Ticket};
use outage::Outage;

/// How soon a file that may still be written is looked at again.
const SETTLE: Duration = Duration::from_millis(200);
/// Longest that a sync waits for the store, and for files that may still be written.
const SYNC_WAIT: Duration = Duration::from_secs(5);
/// Longest that it waits for a version that is being built; less than clients of the admin port wait.
const BUILD_WAIT: Duration = Duration::from_secs(25);
/// Before the loader goes on after a panic of its own.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Where a command's outcome goes.
pub type Reply = oneshot::Sender<Result<(), Refused>>;

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such model or version.
    #[error("{0}")]
    Unknown(String),
    /// What is there cannot be served so.
    #[error("{0}")]
    Conflict(String),
    /// The version that was to be loaded is refused.
    #[error("{0}")]
    Load(LoadError),
    /// The registry does not answer.
    #[error("{0}")]
    Unreachable(String),
}

/// What others ask of the loader.
pub enum Command {
    /// Look now, at one model or at all; the answer says what is wrong with the model, if anything. It waits a
    /// while for files that may still be written.
    Sync(Option<ModelName>, Reply),
    /// As a sync of this model, but what was set aside stays so: this is an application's wish, not an operator's.
    Load(ModelName, Reply),
    /// Stop serving a model until it is synced again.
    Unload(ModelName, Reply),
    /// Serve this version of a model whatever the registry says; `None` follows the registry again.
    Pin(ModelName, Option<Version>, Reply),
    /// Pin the version that served before the present one.
    Rollback(ModelName, Reply),
    /// Route by what was decided about an experiment.
    Rule {
        /// The model.
        model: ModelName,
        /// The phase of its experiment.
        phase: String,
        /// What routing makes of it.
        ruling: Ruling,
    },
    /// The configuration is another one: experiments follow it at once, the rest with the look that comes next.
    Reconfigured,
    /// A hand has finished a job.
    Wake,
    /// End the thread.
    Stop,
}

/// The loader is to end, or the work it waited for has panicked.
#[derive(Debug)]
struct Gone;

/// What builds versions and frees them.
struct Bench {
    scratch: Scratch,
    retired: Retired,
}

/// The loader's own state; consumed by [`Loader::run`].
pub struct Loader {
    registry: Hand<Registry>,
    bench: Hand<Bench>,
    cache: Option<Cache>,
    remote: bool,
    /// Models come and go by request.
    asked: bool,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    serving: Arc<Serving>,
    /// Threads that call sessions: workers and offload lanes.
    callers: usize,
    models: BTreeMap<ModelName, ModelState>,
    registry_seen: Option<Instant>,
    /// Why the registry does not answer, if it does not.
    outage: Option<Outage>,
    started: Instant,
    /// The cache has served what it can, or need not.
    recalled: bool,
    /// Looks since one that asked for everything.
    looks: u32,
    /// Something changes soon: look again before the interval is over.
    hurry: bool,
    /// Versions that were let go of are still in use.
    unswept: bool,
    /// The model that a look begins behind: the last that could not be had, which must not hold up the others.
    behind: Option<ModelName>,
    commands: Receiver<Command>,
    /// Syncs that came while the loader waited for a hand.
    later: VecDeque<OpenSync>,
    /// What the loader waits for is the store's answer.
    asking: bool,
    /// Tells the hands to give up.
    stopping: Arc<AtomicBool>,
    /// Whose signatures count.
    keys: Keys,
    /// Why they could not be read last time, so that it is told once.
    keys_problem: Option<String>,
    /// Syncs and pins that were looked for and not answered yet.
    syncs: Vec<OpenSync>,
    /// The configuration of the last look.
    looked_with: Arc<Config>,
    /// The variants, by experiment and name, of which it was said that they cannot answer, and why.
    unanswered: BTreeMap<(String, experiments::Role, String), String>,
    /// What was decided about experiments.
    rulings: BTreeMap<String, (Ruling, Option<u64>)>,
}

struct OpenSync {
    name: Option<ModelName>,
    /// What was set aside is tried as well.
    tries_all: bool,
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
    /// Versions that must not serve, because a required signature is missing or wrong.
    unsigned: BTreeMap<Version, LoadError>,
    /// What the plain name answers with.
    default: Option<Version>,
    /// Former defaults that stay loaded, newest first.
    previous: Vec<Version>,
    /// The version that an operator of this sidecar fixed.
    pin: Option<Version>,
    /// Epoch and generation of the newest signed promotion.
    promoted: Option<(u64, u64)>,
    /// What the cache remembers of the default.
    remembered: Option<Served>,
    /// What it could not be told.
    unkept: Option<Served>,
    /// A version out of the cache that stands in for what cannot be had.
    fallback: Option<Version>,
    loading: Option<Version>,
    /// Why a version that is due is not loaded yet, or does not serve yet.
    pending: Option<&'static str>,
    last_swap: Option<Instant>,
    /// When `registry.min_swap_interval_ms` is over for what is pending; without it the next look is soon.
    rests_until: Option<Instant>,
    /// What the cache holds of it was tried.
    recalled: bool,
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
    /// What the cache is to keep of it, once it serves.
    record: Served,
}

struct Failed {
    token: String,
    error: LoadError,
    attempts: u32,
    retry: Option<Instant>,
}

// === impl Loader ===

impl Loader {
    /// A loader for `registry`, which also hears `commands`; `wake` is their other end. `callers` threads will call
    /// the sessions it builds.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        registry: Registry,
        cache: Option<Cache>,
        config: Arc<ArcSwap<Config>>,
        metrics: Arc<Metrics>,
        serving: Arc<Serving>,
        callers: usize,
        (wake, commands): (Sender<Command>, Receiver<Command>),
    ) -> std::io::Result<Self> {
        Ok(Self {
            remote: registry.is_remote(),
            asked: registry.shelf().is_some(),
            registry: Hand::start("registry", registry, wake.clone())?,
            bench: Hand::start(
                "builder",
                Bench { scratch: Scratch::new(0), retired: Retired::default() },
                wake,
            )?,
            looked_with: config.load_full(),
            cache,
            config,
            metrics,
            serving,
            callers,
            models: BTreeMap::new(),
            registry_seen: None,
            outage: None,
            started: Instant::now(),
            recalled: false,
            looks: 0,
            hurry: false,
            unswept: false,
            behind: None,
            commands,
            later: VecDeque::new(),
            asking: false,
            stopping: Arc::default(),
            keys: Keys::default(),
            keys_problem: None,
            syncs: Vec::new(),
            unanswered: BTreeMap::new(),
            rulings: BTreeMap::new(),
        })
    }

    /// Looks, then waits for commands or the next look, until told to stop. Whatever somebody managed to put into the
    /// registry, a panic is one look that failed, and not the end of following.
    pub fn run(mut self) {
        // Only who is told to stop stops; there is nobody to tell.
        while catch_unwind(AssertUnwindSafe(|| self.follow())).is_err() {
            self.metrics.panics.inc();
            self.metrics.registry_up.set(0);
            tracing::error!("the loader panicked; what is loaded keeps serving, and it looks again");
            std::thread::sleep(AFTER_PANIC);
        }
        self.stopping.store(true, Relaxed);
    }

    fn follow(&mut self) -> Result<(), Gone> {
        self.judge();
        self.look(None).or_else(|gone| self.go_on(gone))?;
        // From here on requests may be served: whatever a load costs, it takes the processor's spare time.
        drop(self.bench.ask(|_| crate::native::lower_priority()));
        let mut next = Instant::now() + self.pause();
        loop {
            let looked = if let Some(open) = self.later.pop_front() {
                self.sync(open).map(|()| true)
            } else {
                let until = if self.unswept { next.min(Instant::now() + SETTLE) } else { next };
                match self.hear(Some(until), SYNC_WAIT) {
                    Ok(command) => self.obey(command),
                    Err(RecvTimeoutError::Timeout) if Instant::now() < next => self.sweep().map(|()| false),
                    Err(RecvTimeoutError::Timeout) => self.look(None).map(|()| true),
                    Err(RecvTimeoutError::Disconnected) => return Err(Gone),
                }
            };
            let looked = looked.or_else(|gone| self.go_on(gone).map(|()| true))?;
            self.answer_syncs();
            if looked {
                next = Instant::now() + self.pause();
            } else if self.hurry {
                next = next.min(Instant::now() + SETTLE);
            }
        }
    }

    /// Work that panicked has said so, and the next look tries again; only who is told to stop stops.
    fn go_on(&self, gone: Gone) -> Result<(), Gone> {
        if self.stopping.load(Relaxed) { Err(gone) } else { Ok(()) }
    }

    /// Carries out a command; whether it took a look.
    fn obey(&mut self, command: Command) -> Result<bool, Gone> {
        match command {
            Command::Wake => Ok(false),
            Command::Stop => {
                self.stopping.store(true, Relaxed);
                Err(Gone)
            }
            Command::Sync(name, reply) => self.sync(OpenSync::new(name, reply)).map(|()| true),
            Command::Reconfigured => {
                self.reroute();
                self.look(None).map(|()| true)
            }
            Command::Load(name, reply) => self.sync(OpenSync::gently(name, reply)).map(|()| true),
            other => {
                self.decide(other);
                // Who ends a model wants its memory.
                if self.unswept {
                    self.sweep()?;
                }
                // A pin may name what is not loaded yet.
                if self.syncs.is_empty() || self.hasten_pins()? {
                    return Ok(false);
                }
                self.look(None).map(|()| true)
            }
        }
    }

    /// Waits for a hand. Meanwhile operators are heard: what can be decided at once is.
    ///
    /// # Errors
    /// When the loader is to end, or the job has panicked.
    fn wait<T>(&mut self, ticket: &Ticket<T>) -> Result<T, Gone> {
        loop {
            if let Some(done) = self.wait_until(ticket, None)? {
                return Ok(done);
            }
        }
    }

    /// As [`Loader::wait`], but gives up at `deadline` with `None`; the job goes on.
    fn wait_until<T>(&mut self, ticket: &Ticket<T>, deadline: Option<Instant>) -> Result<Option<T>, Gone> {
        loop {
            if let Some(done) = ticket.poll()? {
                return Ok(Some(done));
            }
            let patience = if self.asking { SYNC_WAIT } else { BUILD_WAIT };
            let command = match self.hear(deadline, patience) {
                Ok(command) => command,
                Err(RecvTimeoutError::Disconnected) => return Err(Gone),
                Err(RecvTimeoutError::Timeout) => {
                    self.give_up_syncs(patience);
                    if deadline.is_some_and(|at| Instant::now() >= at) {
                        return Ok(None);
                    }
                    continue;
                }
            };
            match command {
                Command::Wake => {}
                Command::Stop => {
                    self.stopping.store(true, Relaxed);
                    return Err(Gone);
                }
                Command::Sync(name, reply) => self.later.push_back(OpenSync::new(name, reply)),
                Command::Load(name, reply) => self.later.push_back(OpenSync::gently(name, reply)),
                other => {
                    self.decide(other);
                    // A pin to what the cache has waits for no store.
                    if !self.syncs.is_empty() && std::mem::take(&mut self.asking) {
                        self.hasten_pins()?;
                        self.answer_pins();
                        self.asking = true;
                    }
                }
            }
        }
    }

    /// The next command; none until `deadline`, or until a sync has waited for as long as its `patience` lasts.
    fn hear(&self, deadline: Option<Instant>, patience: Duration) -> Result<Command, RecvTimeoutError> {
        let syncs = self.syncs.iter().chain(&self.later);
        match deadline.into_iter().chain(syncs.map(|sync| sync.since + patience)).min() {
            Some(at) => self.commands.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }
}

impl OpenSync {
    /// An operator's; who names a model wants it tried, also where it brought a process down.
    fn new(name: Option<ModelName>, reply: Reply) -> Self {
        Self { tries_all: name.is_some(), name, since: Instant::now(), reply }
    }

    /// An application's.
    fn gently(name: ModelName, reply: Reply) -> Self {
        Self { name: Some(name), tries_all: false, since: Instant::now(), reply }
    }
}

/// Whether the configuration lets a model be served.
fn is_chosen(name: &ModelName, config: &Config) -> bool {
    config.registry.models.as_ref().is_none_or(|models| models.contains(name))
}

/// Where a version's files come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The cache, or else the store.
    Registry,
    /// The cache alone.
    Cache,
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
