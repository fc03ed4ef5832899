//! The prediction log: what requests brought and what they were answered, kept in segments for those who look later.
//!
//! A worker hands over what it has answered by one `try_send` under a budget of bytes, after the answer was written;
//! what finds no room is dropped and counted. One thread at idle priority makes lines of it ([`mod@line`]), gathers them
//! ([`segment`]) and writes whole segments to a store of their own ([`writer`]). Off, it costs a look at an `Option`.

#[cfg(feature = "parquet")]
mod columns;
mod line;
mod segment;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::experiment::Track;
use crate::metrics::{Metrics, Outcome};
use crate::model::ModelName;
use crate::registry::store::Store;
use crate::serving::router::{Arm, Enrolled};
use crate::serving::{ServedVersion, StageNanos};
use crate::stats::assign;
use crate::tensor::Tensor;

use writer::Writer;

/// What waits for the thread, of any size; more is dropped.
const QUEUE: usize = 8192;
/// What an entry takes beside its tensors and texts.
const OVERHEAD: usize = 512;

/// Where workers leave what they have answered.
#[derive(Clone)]
pub struct Log {
    entries: SyncSender<Entry>,
    held: Held,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

/// Bytes of everything that waits to be written, against `prediction_log.max_bytes`.
#[derive(Clone, Default)]
struct Held(Arc<AtomicUsize>);

/// What waits for the thread.
enum Entry {
    Prediction(Box<Kept>),
    Outcomes(Vec<Noted>, usize),
}

/// A request that is to be logged, before its tensors come along.
pub struct Logged {
    /// The version that predicted; of a remote variant, the one whose signature it has.
    pub version: Arc<ServedVersion>,
    /// The variant that it answered as.
    pub arm: Option<Arc<Arm>>,
    /// Its part in an experiment.
    pub part: Option<(Arc<Track>, Enrolled)>,
    /// Whether the variant stands in for one that failed.
    pub fell_back: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of its error.
    pub error: Option<&'static str>,
    /// When it had been read.
    pub arrived: Instant,
    /// Where its time went.
    pub times: StageNanos,
    /// Its id.
    pub id: Vec<u8>,
    /// The hash of that.
    pub key: u64,
}

/// A request with its tensors.
struct Kept {
    logged: Logged,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    bytes: usize,
}

/// What happens to the tensors of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// They are taken out: the next request brings its own.
    Over,
    /// Somebody else needs them too.
    Copied,
}

/// What is left in a log without a thread.
pub struct Left {
    incoming: Receiver<Entry>,
    held: Held,
}

/// One outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// The id that it names.
    pub id: Option<String>,
    /// The hash of that, or what the receipt holds of it; none where it is of a unit.
    pub key: Option<u64>,
    /// The model, where it is known.
    pub model: Option<String>,
    /// The row of its request.
    pub row: Option<usize>,
    /// What was true.
    pub actual: Option<f64>,
    /// The same, where it is a class by its name.
    pub class: Option<String>,
    /// The experiment and the unit in it.
    pub unit: Option<(String, u64)>,
    /// What that did, and how much.
    pub metric: Option<(String, f64)>,
    /// When it came, or when it says that it happened, in milliseconds since 1970.
    pub at: u64,
    /// What became of it here.
    pub status: &'static str,
}

// === impl Log ===

impl Log {
    /// Starts the thread that writes to `store`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        config: Arc<ArcSwap<Config>>,
        metrics: Arc<Metrics>,
        store: Box<dyn Store>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (log, writer) = Self::new(config, metrics, store);
        Ok((log, std::thread::Builder::new().name("prediction-log".into()).spawn(move || writer.run())?))
    }

    /// The log and its thread before it runs.
    fn new(config: Arc<ArcSwap<Config>>, metrics: Arc<Metrics>, store: Box<dyn Store>) -> (Self, Writer) {
        let (entries, incoming) = sync_channel(QUEUE);
        let (held, stop) = (Held::default(), Arc::new(AtomicBool::new(false)));
        let writer =
            Writer::new(incoming, store, held.clone(), config.clone(), metrics.clone(), stop.clone());
        (Self { entries, held, config, metrics, stop }, writer)
    }

    /// A log without a thread: who has the other end lets go of what is left.
    pub fn alone(config: Arc<ArcSwap<Config>>, metrics: Arc<Metrics>) -> (Self, Left) {
        let (entries, incoming) = sync_channel(QUEUE);
        let held = Held::default();
        let left = Left { incoming, held: held.clone() };
        (Self { entries, held, config, metrics, stop: Arc::default() }, left)
    }

    /// Whether a request to a model is logged, by its id: the hash of that if so.
    #[inline]
    pub fn wants(&self, model: &ModelName, id: &[u8]) -> Option<u64> {
        let config = self.config.load();
        let log = &config.prediction_log;
        let key = super::request_id(id);
        let wanted = log.models.as_ref().is_none_or(|models| models.contains(model));
        (wanted && assign::slot(key) < log.sample.slots()).then_some(key)
    }

    /// Whether outcomes with a key are logged: those of the requests that are.
    pub(super) fn wants_outcome(&self, model: Option<&str>, key: Option<u64>) -> bool {
        let config = self.config.load();
        let log = &config.prediction_log;
        let named =
            |model: &str| log.models.as_ref().is_none_or(|models| models.iter().any(|m| m.as_str() == model));
        model.is_none_or(named) && key.is_none_or(|key| assign::slot(key) < log.sample.slots())
    }

    /// Leaves a request, or drops and counts it where too much waits. Outputs come along where it was answered.
    pub fn send(&self, logged: Logged, inputs: &mut Vec<Tensor>, outputs: &mut Vec<Tensor>, hand: Hand) {
        let mut none = Vec::new();
        let outputs = if logged.outcome == Outcome::Ok { outputs } else { &mut none };
        let tensor = |tensor: &Tensor| tensor.data.capacity_bytes() + size_of::<Tensor>();
        let tensors: usize = inputs.iter().chain(&*outputs).map(tensor).sum();
        let bytes = OVERHEAD + logged.id.len() + tensors;
        if !self.reserve(bytes) {
            return self.metrics.log_dropped.inc();
        }
        let hand = |tensors: &mut Vec<Tensor>| match hand {
            Hand::Over => std::mem::take(tensors),
            Hand::Copied => tensors.clone(),
        };
        let (inputs, outputs) = (hand(inputs), hand(outputs));
        self.submit(Entry::Prediction(Box::new(Kept { logged, inputs, outputs, bytes })));
    }

    /// Leaves outcomes that came together; how many are to be logged.
    pub(super) fn outcomes(&self, noted: Vec<Noted>) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let one = |noted: &Noted| {
            size_of::<Noted>() + text(&noted.id) + text(&noted.model) + text(&noted.class) + 64
        };
        let (count, bytes) = (noted.len(), OVERHEAD + noted.iter().map(one).sum::<usize>());
        if count == 0 {
            return 0;
        }
        if !self.reserve(bytes) {
            self.metrics.log_dropped.inc_by(count as u64);
            return 0;
        }
        if self.submit(Entry::Outcomes(noted, bytes)) { count } else { 0 }
    }

    /// Has the thread write what waits, and end.
    pub fn end(&self) {
        self.stop.store(true, Relaxed);
    }

    #[inline]
    fn reserve(&self, bytes: usize) -> bool {
        self.held.reserve(bytes, self.config.load().prediction_log.max_bytes)
    }

    #[inline]
    fn submit(&self, entry: Entry) -> bool {
        let Err(error) = self.entries.try_send(entry) else { return true };
        let (TrySendError::Full(entry) | TrySendError::Disconnected(entry)) = error;
        self.held.give_back(entry.bytes());
        self.metrics.log_dropped.inc_by(entry.records());
        false
    }
}

// === impl Left ===

impl Left {
    /// Lets go of everything; how many requests and outcomes that were.
    pub fn clear(&self) -> u64 {
        let let_go = |entry: Entry| {
            self.held.give_back(entry.bytes());
            entry.records()
        };
        self.incoming.try_iter().map(let_go).sum()
    }
}

// === impl Held ===

impl Held {
    /// Takes bytes, if there is room for them.
    fn reserve(&self, bytes: usize, max: usize) -> bool {
        let before = self.0.fetch_add(bytes, Relaxed);
        let fits = before.saturating_add(bytes) <= max;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Takes bytes in place of others that were taken.
    fn exchange(&self, bytes: usize, others: usize) {
        self.0.fetch_add(bytes, Relaxed);
        self.give_back(others);
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

// === impl Entry ===

impl Entry {
    /// What it took of what may wait.
    fn bytes(&self) -> usize {
        match self {
            Self::Prediction(kept) => kept.bytes,
            Self::Outcomes(_, bytes) => *bytes,
        }
    }

    /// What it counts as.
    fn records(&self) -> u64 {
        match self {
            Self::Prediction(_) => 1,
            Self::Outcomes(noted, _) => noted.len() as u64,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
