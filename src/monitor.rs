//! What happens beside the data path: exposures and outcomes of experiments are counted, compared and decided on.
//!
//! A worker hands a [`Record`] over with one `try_send` that never waits ([`Recorder`]); the monitor's thread owns all
//! state, so nothing is locked. Outcomes come as bodies, are parsed and joined here, and answered item by item.

mod changes;
pub mod fleet;
mod join;
mod outcome;
mod pending;
pub mod published;
pub mod publisher;
pub mod receipt;
mod record;
pub mod shadow;
mod state;
mod tap;
mod watcher;
mod watchers;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
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

pub use outcome::Form;
use publisher::Publisher;
pub use receipt::{Receipt, Receipts};
pub use record::{Predictions, Record};
pub use shadow::{Answered, Shadows};
use state::State;
pub use state::request_id;
pub use tap::{Tap, Taps};
use watchers::Watchers;

/// Records that wait to be counted; more are dropped, which is counted.
const QUEUE: usize = 8192;
/// Bytes of outcomes that wait; more are refused.
const MAX_POSTED: usize = 16 << 20;
/// Longest that a record waits while nothing else wakes the thread.
const NAP: Duration = Duration::from_millis(20);
/// After a panic, which may come again.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// Between two decisions.
const TICK: Duration = Duration::from_millis(250);

/// Where workers leave records.
#[derive(Clone)]
pub struct Recorder {
    records: SyncSender<Record>,
    dropped: Arc<AtomicU64>,
    /// A moment by both clocks: reading one clock a request is enough.
    moment: (Instant, u64),
}

/// The way to the monitor.
#[derive(Clone)]
pub struct Handle {
    asks: Sender<Ask>,
    /// Bytes of outcomes that wait.
    posted: Arc<AtomicUsize>,
    recorder: Recorder,
    shadows: Shadows,
}

/// What the monitor has beside its own thread.
pub struct Beside {
    /// Puts what is known into the registry.
    pub publisher: Option<JoinHandle<()>>,
    /// Runs shadows.
    pub shadow: JoinHandle<()>,
    /// For each thread that answers, where it shows what it predicts.
    pub taps: Vec<Tap>,
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
    records: Receiver<Record>,
    asks: Receiver<Ask>,
    state: State,
    watchers: Watchers,
    metrics: Arc<Metrics>,
}

// === impl Recorder ===

impl Recorder {
    /// Leaves a record, or drops and counts it where too many wait.
    #[inline]
    pub fn record(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// A recorder without a monitor: who has the other end takes what it leaves.
    pub fn alone() -> (Self, Receiver<Record>) {
        let (records, incoming) = sync_channel(QUEUE);
        (Self { records, dropped: Arc::default(), moment: (Instant::now(), now()) }, incoming)
    }

    /// A moment in milliseconds since 1970.
    #[inline]
    pub fn millis(&self, moment: Instant) -> u64 {
        let (known, millis) = self.moment;
        millis + moment.saturating_duration_since(known).as_millis() as u64
    }
}

// === impl Handle ===

impl Handle {
    /// Where workers leave records.
    pub fn recorder(&self) -> Recorder {
        Recorder { moment: (Instant::now(), now()), ..self.recorder.clone() }
    }

    /// Where workers leave copies of requests for shadows.
    pub const fn shadows(&self) -> &Shadows {
        &self.shadows
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
    /// A monitor of what is served. `loader` hears what is decided; what is known goes to `store`, by a thread of its own;
    /// shadows run on another, as the last of the `callers` of sessions, each of which shows what it predicts.
    ///
    /// # Errors
    /// When the system has no thread for that.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        serving: Arc<Serving>,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
        loader: Sender<Command>,
        store: Option<Box<dyn Store>>,
        callers: usize,
    ) -> std::io::Result<(Self, Handle, Beside)> {
        let (records, incoming) = sync_channel(QUEUE);
        let (asks, asked) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let publisher = store.map(|store| Publisher::start(store, asks.clone())).transpose()?;
        let (publisher, thread) = publisher.unzip();
        let last = callers.saturating_sub(1);
        let (shadows, shadow) = Shadows::start(last, config.clone(), metrics.clone(), asks.clone())?;
        let mut ends = Taps::default();
        let taps = (0..callers).map(|_| ends.tap()).collect();
        let watchers = Watchers::new(ends, config.clone(), serving.clone(), metrics.clone());
        let counts = metrics.clone();
        let state = State::new(config, serving, metrics, receipts, loader, dropped.clone(), publisher);
        let recorder = Recorder { records, dropped, moment: (Instant::now(), now()) };
        let beside = Beside { publisher: thread, shadow, taps };
        Ok((
            Self { records: incoming, asks: asked, state, watchers, metrics: counts },
            Handle { asks, posted: Arc::default(), recorder, shadows },
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
        // Looking does not tell senders that somebody waits, so that they need not wake anybody.
        let counted = self.count(QUEUE);
        self.watchers.drain(now());
        if ticked.elapsed() >= TICK {
            *ticked = Instant::now();
            self.state.tick(now());
            self.watchers.tick(now());
        }
        let asked = if counted > 0 {
            self.asks.try_recv().map_err(|_| RecvTimeoutError::Timeout)
        } else {
            self.asks.recv_timeout(NAP)
        };
        let ask = match asked {
            Ok(ask) => ask,
            Err(RecvTimeoutError::Timeout) => return ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        };
        // What was answered before an outcome of it came is counted before it too.
        self.count(usize::MAX);
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
            Ask::Compared(track, pairs) => self.state.compared(&track, &pairs),
            Ask::Earlier(phase, earlier) => self.state.recall(&phase, &earlier),
            Ask::Stop => {
                self.state.close(now());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Counts records that wait, up to a number of them; how many there were.
    fn count(&mut self, most: usize) -> usize {
        let mut counted = 0;
        while counted < most
            && let Ok(record) = self.records.try_recv()
        {
            self.state.count(&record);
            counted += 1;
        }
        counted
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
