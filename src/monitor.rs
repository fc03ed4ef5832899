//! What happens beside the data path: exposures and outcomes of experiments are counted, compared and decided on.
//!
//! A worker leaves a [`Record`] in a ring of its own, without waiting ([`Recorder`]); the monitor's thread owns all
//! state, so nothing is locked. Outcomes come as bodies, are parsed and joined here, and answered item by item.

pub mod fleet;
pub mod fleet_drift;
mod join;
pub mod log;
mod outcome;
mod pending;
mod performance;
pub mod published;
pub mod publisher;
pub mod receipt;
mod record;
mod recorder;
pub mod shadow;
mod state;
mod tap;
mod watcher;
mod watchers;
mod webhook;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::experiment::Track;
use crate::experiment::pairwise::Pairs;
use crate::metrics::Metrics;
use crate::model::{ModelName, Version};
use crate::registry::store::Store;
use crate::serving::Serving;
use crate::serving::loader::Command;

pub use log::{Hand, Log, Logged};
pub use outcome::Form;
use publisher::Publisher;
pub use receipt::{Receipt, Receipts};
pub use record::{Predictions, Record};
pub use recorder::{Recorder, Records};
pub use shadow::{Answered, Shadows};
use state::State;
pub use state::request_id;
pub use tap::{Tap, Taps};
use watchers::Watchers;
use webhook::Webhook;

/// Bytes of outcomes that wait; more are refused.
const MAX_POSTED: usize = 16 << 20;
/// Longest that a record waits while nothing else wakes the thread.
const NAP: Duration = Duration::from_millis(20);
/// So many records at once, and the thread looks more often.
const BUSY: usize = 1024;
/// After a panic, which may come again.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// Between two decisions.
const TICK: Duration = Duration::from_millis(250);

/// The way to the monitor.
#[derive(Clone)]
pub struct Handle {
    asks: Sender<Ask>,
    /// Bytes of outcomes that wait.
    posted: Arc<AtomicUsize>,
    shadows: Shadows,
    log: Option<Log>,
}

/// Where the monitor writes to; none where it does not.
#[derive(Default)]
pub struct Stores {
    /// The registry, for what is known of experiments.
    pub publish: Option<Box<dyn Store>>,
    /// The place of the prediction log.
    pub log: Option<Box<dyn Store>>,
}

/// What the monitor has beside its own thread.
pub struct Beside {
    /// Puts what is known into the registry.
    pub publisher: Option<JoinHandle<()>>,
    /// Tells a webhook what changes.
    pub webhook: Option<JoinHandle<()>>,
    /// Runs shadows.
    pub shadow: JoinHandle<()>,
    /// Writes the prediction log.
    pub log: Option<JoinHandle<()>>,
    /// For each thread that answers.
    pub ends: Vec<End>,
}

/// What a thread that answers tells the monitor by.
pub struct End {
    /// Where it leaves records.
    pub recorder: Recorder,
    /// Where it shows what it predicts.
    pub tap: Tap,
}

/// What is asked of the monitor.
pub enum Ask {
    /// Outcomes: a body, its form, and where the answer goes.
    Outcomes(Posted, Form, oneshot::Sender<Result<Value, String>>),
    /// What was published of a phase by processes that have ended.
    Earlier(String, publisher::Earlier),
    /// What shadows of a phase predicted, compared with what was answered.
    Compared(Arc<Track>, Pairs),
    /// What is known of features, by `model`: all, or one.
    Drift(Seen, oneshot::Sender<Option<Value>>),
    /// How good predictions are.
    Performance(Judged, oneshot::Sender<Option<Value>>),
    /// What is known of an experiment, by its name.
    Report(String, oneshot::Sender<Option<Value>>),
    /// To end.
    Stop,
}

/// What is asked about features.
#[derive(Debug)]
pub enum Seen {
    /// Every version that is watched.
    All,
    /// How those of a model's version, by default of the one that its name means, differ from their reference.
    Of(ModelName, Option<Version>),
    /// That reference and the window, cell by cell.
    Profile(ModelName, Option<Version>),
}

/// What is asked about performance.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// The model.
    pub model: ModelName,
    /// One of its versions; without it, all that are known.
    pub version: Option<Version>,
    /// Milliseconds up to now; without it, an hour, a day and a week.
    pub window: Option<u64>,
}

/// A body of outcomes that waits, and its share of what may.
pub struct Posted {
    body: Vec<u8>,
    all: Arc<AtomicUsize>,
}

impl Posted {
    fn new(all: &Arc<AtomicUsize>, body: &[u8]) -> Option<Self> {
        let waiting = all.fetch_add(body.len(), Relaxed);
        // One of any size that is accepted may wait alone.
        if waiting > 0 && waiting + body.len() > MAX_POSTED {
            all.fetch_sub(body.len(), Relaxed);
            return None;
        }
        Some(Self { body: body.to_vec(), all: all.clone() })
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.body.len(), Relaxed);
    }
}

/// The monitor before it runs.
pub struct Monitor {
    records: Records,
    asks: Receiver<Ask>,
    state: State,
    watchers: Watchers,
    metrics: Arc<Metrics>,
}

// === impl Handle ===

impl Handle {
    /// Where workers leave copies of requests for shadows.
    pub const fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// Where workers leave what is to be logged; none where nothing is.
    #[inline]
    pub const fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Has outcomes counted; their answer comes by the receiver. None where too many wait, as while the processor has no
    /// time to spare.
    pub fn outcomes(&self, body: &[u8], form: Form) -> Option<oneshot::Receiver<Result<Value, String>>> {
        let posted = Posted::new(&self.posted, body)?;
        let (reply, result) = oneshot::channel();
        self.ask(Ask::Outcomes(posted, form, reply));
        Some(result)
    }

    /// Asks; false where the monitor has ended.
    pub fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).is_ok()
    }
}

// === impl Monitor ===

impl Monitor {
    /// A monitor of what is served. `loader` hears what is decided; what is written goes to `stores`, by threads of their
    /// own; shadows run on another, as the last of the `callers` of sessions, each of which shows what it predicts.
    ///
    /// # Errors
    /// When the system has no thread for that.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        serving: Arc<Serving>,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
        loader: Sender<Command>,
        stores: Stores,
        callers: usize,
    ) -> std::io::Result<(Self, Handle, Beside)> {
        let mut records = Records::default();
        let (asks, asked) = channel();
        let dropped = records.dropped().clone();
        let publisher = stores.publish.map(|store| Publisher::start(store, asks.clone())).transpose()?;
        let (publisher, thread) = publisher.unzip();
        let log = stores.log.map(|store| Log::start(config.clone(), metrics.clone(), store)).transpose()?;
        let (log, writer) = log.unzip();
        let last = callers.saturating_sub(1);
        let (shadows, shadow) = Shadows::start(last, config.clone(), metrics.clone(), asks.clone())?;
        let mut taps = Taps::default();
        let ends = (0..callers).map(|_| End { recorder: records.recorder(), tap: taps.tap() }).collect();
        let (webhook, webhook_thread) = Webhook::start(&config.load(), &metrics)?;
        let mut watchers =
            Watchers::new(taps, config.clone(), serving.clone(), metrics.clone(), webhook.clone());
        let counts = metrics.clone();
        let experiments = publisher.clone().filter(|_| !config.load().trials.publish_interval.is_zero());
        let mut state = State::new(config, serving, metrics, receipts, loader, dropped.clone(), experiments);
        watchers.publisher = publisher.map(|publisher| (publisher, state.replica.clone()));
        state.webhook = webhook;
        state.log.clone_from(&log);
        let beside = Beside { publisher: thread, webhook: webhook_thread, shadow, log: writer, ends };
        Ok((
            Self { records, asks: asked, state, watchers, metrics: counts },
            Handle { asks, posted: Arc::default(), shadows, log },
            beside,
        ))
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("monitor".into()).spawn(move || self.run())
    }

    /// Until told to stop. A panic costs what was being looked at, and nothing that is known.
    fn run(mut self) {
        // Requests go first.
        crate::native::lower_priority();
        let mut ticked = Instant::now();
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn(&mut ticked))) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(_) => {
                    self.metrics.panics.inc();
                    tracing::error!("the monitor panicked; it goes on");
                    std::thread::sleep(AFTER_PANIC);
                }
            }
        }
    }

    fn turn(&mut self, ticked: &mut Instant) -> ControlFlow<()> {
        let counted = self.count();
        self.watchers.drain(now());
        if ticked.elapsed() >= TICK {
            *ticked = Instant::now();
            self.state.tick(now());
            self.watchers.tick(now());
        }
        // Before rings are full.
        let nap = if counted < BUSY { NAP } else { NAP / 8 };
        let ask = match self.asks.recv_timeout(nap) {
            Ok(ask) => ask,
            Err(RecvTimeoutError::Timeout) => return ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        };
        // What was answered before an outcome of it came is counted before it too.
        self.count();
        match ask {
            Ask::Outcomes(posted, form, reply) => {
                // Who waits no longer was told that they may count.
                drop(reply.send(self.state.outcomes(&posted.body, form, now())));
            }
            Ask::Drift(seen, reply) => drop(reply.send(match seen {
                Seen::All => Some(self.watchers.list()),
                Seen::Of(model, version) => self.watchers.report(&model, version),
                Seen::Profile(model, version) => self.watchers.profile(&model, version),
            })),
            Ask::Report(name, reply) => drop(reply.send(self.state.report(&name, now()))),
            Ask::Performance(asked, reply) => drop(reply.send(self.state.performance(&asked, now()))),
            Ask::Compared(track, pairs) => self.state.compared(&track, &pairs),
            Ask::Earlier(phase, earlier) => self.state.recall(&phase, &earlier),
            Ask::Stop => {
                self.watchers.publish_windows(now(), true);
                self.watchers.publisher = None;
                self.state.close(now());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Counts what waits; how much it was.
    fn count(&mut self) -> usize {
        self.records.drain(|record| self.state.count(record))
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
