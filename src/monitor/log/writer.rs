//! The thread of the prediction log: takes what waits, makes lines of it, and writes segments that are whole.
//!
//! A store that fails is asked again, less and less often; meanwhile segments wait, as far as `prediction_log.max_bytes`
//! goes, and then what comes finds no room.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::line::{Hidden, push_outcome, push_prediction};
use super::segment::{Kind, Limits, Segment, Segments};
use super::{Entry, Held, Logged};
use crate::config::{Config, Redaction};
use crate::metrics::Metrics;
use crate::model::{ModelName, Version};
use crate::registry::store::{Body, Condition, Store};
use crate::serving::pacer::Pacer;

/// Between two looks at what waits: nobody is woken by what is left here.
const NAP: Duration = Duration::from_millis(20);
/// Before the store is asked again, the first time and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// At the end there is less time.
const AGAIN_AT_END: Duration = Duration::from_millis(200);
const AT_END: Duration = Duration::from_secs(4);
/// After a panic, which may come again.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// Bytes of a line that readers take: DuckDB wants no more than 16 MiB.
const MAX_LINE: usize = 8 << 20;
/// The room for lines of one request that is kept for the next.
const KEEP_BYTES: usize = 1 << 20;
/// Requests after which the others get the processor, where it is scarce.
const PACE: usize = 64;

/// What the thread owns.
pub(super) struct Writer {
    incoming: Receiver<Entry>,
    store: Box<dyn Store>,
    held: Held,
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    segments: Segments,
    waiting: VecDeque<Segment>,
    /// What is being looked at: its bytes, and what it counts as.
    taken: (usize, u64),
    lines: Vec<u8>,
    /// When nothing is written any more.
    by: Option<Instant>,
    /// When the store is asked again, and how long after that.
    again: Option<(Instant, Duration)>,
    /// What is redacted, and the versions that this was looked at for.
    redact: Vec<Redaction>,
    seen: HashSet<(ModelName, Version)>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        incoming: Receiver<Entry>,
        store: Box<dyn Store>,
        held: Held,
        config: Arc<ArcSwap<Config>>,
        metrics: Arc<Metrics>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let pod = ModelName::sanitized(&config.load().registry.pod);
        let replica = format!("{pod}-{:x}-{:08x}", now() / 1000, rand::random::<u32>());
        let segments = Segments::new(replica);
        Self {
            incoming,
            store,
            held,
            config,
            metrics,
            stop,
            segments,
            waiting: VecDeque::new(),
            taken: (0, 0),
            lines: Vec::new(),
            by: None,
            again: None,
            redact: Vec::new(),
            seen: HashSet::new(),
        }
    }

    /// Until told to stop. A panic costs what was being looked at, and nothing that is gathered.
    pub(super) fn run(mut self) {
        // Requests go first.
        crate::native::lower_priority();
        while !self.stop.load(Relaxed) {
            if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
                self.metrics.panics.inc();
                self.metrics.log_dropped.inc_by(self.taken.1);
                self.held.give_back(std::mem::take(&mut self.taken).0);
                tracing::error!("the prediction log panicked; it goes on");
                std::thread::sleep(AFTER_PANIC);
            }
            std::thread::sleep(NAP);
        }
        self.finish();
    }

    /// Takes what waits and writes what is due.
    pub(super) fn turn(&mut self) {
        let mut pacer = Pacer::new(self.config.load().registry.slow_load);
        let mut taken = 0;
        while let Ok(entry) = self.incoming.try_recv() {
            self.take(entry);
            taken += 1;
            // There may always be more.
            if taken % PACE == 0 {
                self.close_due();
                self.write();
                pacer.pace();
            }
        }
        self.close_due();
        pacer.pace();
        self.write();
    }

    fn take(&mut self, entry: Entry) {
        let config = self.config.load_full();
        let redact = config.prediction_log.redact.as_slice();
        if self.redact != redact {
            self.redact = redact.to_vec();
            self.seen.clear();
        }
        self.taken = (entry.bytes(), entry.records());
        self.lines.clear();
        let (kind, at) = match &entry {
            Entry::Prediction(kept) => {
                let model = &kept.logged.version.model;
                let at = now().saturating_sub(kept.logged.arrived.elapsed().as_micros() as u64);
                let hidden = Hidden::new(model.as_str(), redact);
                self.look(&kept.logged, &hidden);
                push_prediction(&mut self.lines, kept, at, &hidden);
                (Kind::Predictions(model.to_string()), at)
            }
            Entry::Outcomes(noted, _) => {
                noted.iter().for_each(|noted| push_outcome(&mut self.lines, noted, redact));
                (Kind::Outcomes, now())
            }
        };
        let longest = self.lines.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        let (bytes, records) = std::mem::take(&mut self.taken);
        if longest.is_some_and(|longest| longest > MAX_LINE) {
            self.held.give_back(bytes);
            self.metrics.log_dropped.inc_by(records);
            tracing::warn!(?kind, "a row is too long for a line of the prediction log, and is dropped");
        } else {
            self.segments.add(kind, at, &self.lines, records);
            self.held.exchange(self.lines.len(), bytes);
        }
        self.lines.shrink_to(KEEP_BYTES);
    }

    /// Tells, once of each version, what is to be redacted and has another name: it is logged.
    fn look(&mut self, logged: &Logged, hidden: &Hidden<'_>) {
        let version = &logged.version;
        if self.seen.insert((version.model.clone(), version.version)) {
            let (model, number) = (&version.model, version.version.get());
            for name in hidden.strange(logged) {
                tracing::warn!(%model, version = number, name, "prediction_log.redact names what the version does not have");
            }
        }
    }

    fn close_due(&mut self) {
        let config = self.config.load_full();
        let log = &config.prediction_log;
        // Half of what may wait is for what has not come here yet.
        let limits = Limits { bytes: log.segment_bytes, age: log.segment_time, all: log.max_bytes / 2 };
        while let Some(kind) = self.segments.due(Instant::now(), limits) {
            self.close(&kind);
        }
    }

    fn close(&mut self, kind: &Kind) {
        let Some((open, key)) = self.segments.close(kind) else { return };
        let segment = open.pack(&key, self.config.load().prediction_log.format);
        self.held.exchange(segment.bytes.len(), open.bytes());
        self.waiting.push_back(segment);
    }

    /// Writes what waits, up to the first that fails.
    fn write(&mut self) {
        if self.again.is_some_and(|(at, _)| Instant::now() < at) {
            return;
        }
        while let Some(segment) = self.waiting.front()
            && self.by.is_none_or(|by| Instant::now() < by)
        {
            // Its name is its own, so that a second attempt writes the same.
            match self.store.write(&segment.key, Body::Bytes(&segment.bytes), Condition::None) {
                Ok(_) => {
                    self.metrics.logged.inc_by(segment.records);
                    self.held.give_back(segment.bytes.len());
                    self.waiting.pop_front();
                    if self.again.take().is_some() {
                        tracing::info!("the prediction log is written again");
                    }
                }
                Err(error) => {
                    self.metrics.log_failures.inc();
                    if self.again.is_none() {
                        tracing::warn!(%error, "the prediction log cannot be written; it is tried again");
                    }
                    let pause = self.again.map_or(AGAIN, |(_, pause)| (pause * 2).min(AGAIN_AT_MOST));
                    self.again = Some((Instant::now() + pause, pause));
                    return;
                }
            }
        }
    }

    /// The last turn: what is there is written, or counted as dropped.
    pub(super) fn finish(mut self) {
        while let Ok(entry) = self.incoming.try_recv() {
            self.take(entry);
        }
        while let Some(kind) = self.segments.any() {
            self.close(&kind);
        }
        let by = Instant::now() + AT_END;
        self.by = Some(by);
        loop {
            self.again = self.again.map(|(_, pause)| (Instant::now(), pause));
            self.write();
            if self.waiting.is_empty() || Instant::now() >= by {
                break;
            }
            std::thread::sleep(AGAIN_AT_END);
        }
        let lost: u64 = self.waiting.iter().map(|segment| segment.records).sum();
        if lost > 0 {
            self.metrics.log_dropped.inc_by(lost);
            tracing::error!(
                records = lost,
                "the end of the prediction log could not be written, and is lost"
            );
        }
    }
}

/// Microseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
