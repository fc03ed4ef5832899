//! A worker: one thread, one current-thread runtime, and the state that its connections share without locks.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use super::Gateway;
use super::acceptor::{Acceptor, Place};
use super::connection;
use super::lane::Lanes;
use super::overload::Admission;
use super::predict::Runner;
use super::stream::Detached;
use super::workspace::Workspace;

/// Most idle workspaces that a worker keeps.
const KEEP_WORKSPACES: usize = 64;

/// What the connections of one worker share; reached through [`with`].
pub(super) struct Worker {
    pub(super) runner: Runner,
    admission: Admission,
    pub(super) lanes: Lanes,
    /// Open connections of this worker; the acceptor looks at it too.
    pub(super) connections: Arc<AtomicUsize>,
    /// The wait that was measured last.
    lag: Duration,
    /// Average time a request keeps this thread, in nanoseconds.
    service_nanos: u64,
    #[expect(clippy::vec_box, reason = "a workspace travels as a box, to lanes and back")]
    pool: Vec<Box<Workspace>>,
    date: Date,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Runs `f` with this thread's worker. Never called from within itself, and never outside of a worker.
#[inline]
pub(super) fn with<T>(f: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with_borrow_mut(|worker| f(worker.as_mut().expect("only worker threads run connections")))
}

/// What a worker thread is made of.
pub(super) struct Parts {
    pub(super) number: usize,
    pub(super) gateway: Arc<Gateway>,
    pub(super) runner: Runner,
    pub(super) lanes: Lanes,
    /// The first worker accepts for all.
    pub(super) acceptor: Option<Acceptor>,
    /// Turns true when the process is about to end.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) streams: mpsc::UnboundedReceiver<(Detached, Place)>,
    pub(super) connections: Arc<AtomicUsize>,
}

/// Starts a worker thread.
pub(super) fn start(parts: Parts) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(format!("worker-{}", parts.number))
        .spawn(move || runtime.block_on(run(parts)))
}

async fn run(mut parts: Parts) {
    WORKER.set(Some(Worker {
        runner: parts.runner,
        admission: Admission::new(Instant::now()),
        lanes: parts.lanes,
        connections: parts.connections,
        lag: Duration::ZERO,
        service_nanos: 0,
        pool: Vec::new(),
        date: Date::new(),
    }));
    if let Some(acceptor) = parts.acceptor.take() {
        crate::task::spawn("acceptor", acceptor.run());
    }
    let busy_poll = parts.gateway.config.load().http.busy_poll;
    if !busy_poll.is_zero() {
        crate::task::spawn("busy-poll", spin(parts.gateway.clone(), busy_poll));
    }
    loop {
        tokio::select! {
            // The acceptor ends first, when a drain begins; this thread then still has requests to finish.
            Some((detached, place)) = parts.streams.recv() => match detached.attach() {
                Ok(socket) => connection::spawn(socket, place, parts.gateway.clone()),
                Err(error) => tracing::warn!(%error, "a connection cannot be taken over"),
            },
            _ = parts.stop.wait_for(|stop| *stop) => break,
        }
    }
    // Drops the lanes' sender with the worker, so that they end.
    WORKER.set(None);
}

/// Keeps the thread awake for a while after each request: an answer then costs no wake-up.
async fn spin(gateway: Arc<Gateway>, window: Duration) {
    let mut last = (0, Instant::now());
    loop {
        let served = gateway.inflight.load(Relaxed);
        let now = Instant::now();
        if served != last.0 {
            last = (served, now);
        }
        if now - last.1 < window {
            tokio::task::yield_now().await;
        } else {
            // Idle: the next request is noticed by its own wake-up, after which spinning starts again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Worker {
    /// A workspace for a request.
    pub(super) fn take(&mut self) -> Box<Workspace> {
        self.pool.pop().unwrap_or_default()
    }

    /// Gives a recycled workspace back.
    pub(super) fn give(&mut self, work: Box<Workspace>) {
        if self.pool.len() < KEEP_WORKSPACES {
            self.pool.push(work);
        }
    }

    /// Takes note of how long a request kept this thread.
    #[inline]
    pub(super) fn observe_service(&mut self, nanos: u64) {
        self.service_nanos = self.service_nanos - self.service_nanos / 16 + nanos / 16;
    }

    /// Whether so many connections wait for this thread that the wait is worth measuring.
    #[inline]
    pub(super) fn may_queue(&self, limit: Duration) -> bool {
        self.service_nanos * self.connections.load(Relaxed) as u64 > limit.as_nanos() as u64 / 8
    }

    /// What a request has waited before it was read. The thread's queue is first in, first out, so that is as long as
    /// the request before it has waited for its run.
    pub(super) fn lag(&self) -> Duration {
        self.lag
    }

    /// Whether a request is served that has waited `unread` before and `read` after it was read.
    pub(super) fn admit(&mut self, now: Instant, unread: Duration, read: Duration, limit: Duration) -> bool {
        self.lag = read;
        self.admission.admit(now, unread + read, limit)
    }

    /// Today's date for an answer's head.
    #[inline]
    pub(super) fn date(&mut self, now: Instant) -> &[u8] {
        self.date.at(now)
    }
}

/// The `Date` field, formatted at most twice a second.
struct Date {
    text: String,
    until: Instant,
}

impl Date {
    fn new() -> Self {
        Self {
            text: httpdate::fmt_http_date(SystemTime::now()),
            until: Instant::now() + Duration::from_millis(500),
        }
    }

    #[inline]
    fn at(&mut self, now: Instant) -> &[u8] {
        if now >= self.until {
            *self = Self::new();
        }
        self.text.as_bytes()
    }
}
