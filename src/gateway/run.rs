//! The process: bind, start the threads, tell where it listens, wait for a signal, drain, end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};

use super::acceptor::{Acceptor, Handle, connection_cap};
use super::admin::{self as admin_port, Port};
use super::entrance::Entrance;
use super::id::Ids;
use super::lane::Lanes;
use super::listen::{Addresses, Listeners};
use super::predict::Runner;
use super::settings::{Settings, Tokens};
use super::signals::{Asked, Signals};
use super::worker::{self, Parts};
use super::{Gateway, Reloads};
use crate::config::{Config, TokenFileError, read_tokens};
use crate::engine::Scratch;
use crate::metrics::Metrics;
use crate::monitor::{Ask, Beside, End, Monitor, Receipts, Stores};
use crate::registry::Registry;
use crate::registry::cache::Cache;
use crate::serving::Serving;
use crate::serving::loader::{Command, Loader};

/// Idle keep-alive connections get this long after a drain began before they are closed.
const IDLE_GRACE: Duration = Duration::from_millis(500);

/// Why the gateway could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An address is taken or not ours.
    #[error("{what} cannot listen on {address}: {error}")]
    Bind {
        /// The listener.
        what: &'static str,
        /// Its address.
        address: String,
        /// The cause.
        error: io::Error,
    },
    /// A token file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),

    /// Something that does not depend on the configuration.
    #[error("{0}")]
    Other(String),
}

/// A gateway whose threads run. It does not end by being dropped: see [`Running::end`].
pub struct Running {
    /// What its requests, listeners and tasks share.
    pub gateway: Arc<Gateway>,
    entrance: Entrance,
    signals: Signals,
    stop_accepting: watch::Sender<bool>,
    stop_workers: watch::Sender<bool>,
    commands: mpsc::Sender<Command>,
    threads: Vec<JoinHandle<()>>,
    beside: Beside,
    /// The socket file to remove.
    uds: Option<PathBuf>,
}

/// Runs the gateway until a signal ends it. `announce` is called once it listens; `reload` is asked about every
/// second and after SIGHUP for a changed configuration.
///
/// # Errors
/// [`Failure`] when it cannot start.
pub async fn run(
    config: Config,
    registry: Registry,
    cache: Option<Cache>,
    stores: Stores,
    announce: impl FnOnce(&Addresses, &Gateway),
    mut reload: impl FnMut(&Gateway, bool),
) -> Result<(), Failure> {
    let listeners = Listeners::bind(&config)?;
    let addresses = listeners.addresses.clone();
    let mut running = start(config, registry, cache, stores, Some(listeners))?;
    announce(&addresses, &running.gateway);
    loop {
        match running.signals.next(Duration::from_secs(1)).await {
            Some(Asked::End) => break,
            Some(Asked::Reload) => reload(&running.gateway, true),
            None => reload(&running.gateway, false),
        }
    }
    running.end().await;
    Ok(())
}

/// Starts a gateway that listens nowhere: [`Running::connect`] is the only way in.
///
/// # Errors
/// [`Failure`] when it cannot start.
pub fn start_unlisted(
    config: Config,
    registry: Registry,
    cache: Option<Cache>,
    stores: Stores,
) -> Result<Running, Failure> {
    start(config, registry, cache, stores, None)
}

fn start(
    config: Config,
    registry: Registry,
    cache: Option<Cache>,
    stores: Stores,
    listeners: Option<Listeners>,
) -> Result<Running, Failure> {
    let other = |what: &str, error: &dyn std::fmt::Display| Failure::Other(format!("{what}: {error}"));
    let metrics = Arc::new(Metrics::new().map_err(|e| other("metrics", &e))?);
    let data_tokens = config.auth.token_file.as_deref().map(read_tokens).transpose()?;
    let admin_tokens = config.admin.token_file.as_deref().map(read_tokens).transpose()?.map(Tokens::new);
    let workers = config.http.workers;
    let (commands, orders) = mpsc::channel();
    let serving = Arc::new(Serving::new());
    let keys = config.trials.receipt_key_file.as_deref().map(read_tokens).transpose()?.unwrap_or_default();
    let receipts = Arc::new(Receipts::new(&keys));
    // It is read anew for every event; one that cannot be used is better known at once.
    config.monitor.webhook_token_file.as_deref().map(read_tokens).transpose()?;
    let settings = Settings::new(&config, data_tokens);
    let config = Arc::new(ArcSwap::from_pointee(config));
    let parts = (config.clone(), serving.clone(), metrics.clone());
    // Every worker has a lane beside it, and each of these threads calls sessions.
    let callers = 2 * workers;
    let monitor =
        Monitor::new(parts.0, parts.1, parts.2, receipts.clone(), commands.clone(), stores, callers);
    let (monitor, handle, mut beside) = monitor.map_err(|e| other("monitor", &e))?;
    let monitor = monitor.start().map_err(|e| other("monitor", &e))?;
    let gateway = Arc::new(Gateway {
        serving: serving.clone(),
        config: config.clone(),
        settings: ArcSwap::from_pointee(settings),
        metrics: metrics.clone(),
        shelf: registry.shelf(),
        loader: commands.clone(),
        monitor: handle,
        receipts,
        inflight: AtomicUsize::new(0),
        inflight_bytes: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        started: Instant::now(),
        reloads: ArcSwap::from_pointee(Reloads::default()),
    });
    let channel = (commands.clone(), orders);
    let loader = Loader::new(registry, cache, config.clone(), metrics, serving, callers, channel);
    let loader = loader
        .and_then(|loader| std::thread::Builder::new().name("loader".into()).spawn(move || loader.run()))
        .map_err(|e| other("loader", &e))?;
    let (stop_accepting, accepting) = watch::channel(false);
    let (stop_workers, working) = watch::channel(false);
    let uds = listeners.as_ref().and_then(|listeners| listeners.addresses.uds.clone());
    let doors = listeners.map(|listeners| {
        let Listeners { http, uds, admin, ops, addresses } = listeners;
        (Doors { http, uds, accepting }, (admin, ops, addresses))
    });
    let (doors, others) = doors.unzip();
    let ends = std::mem::take(&mut beside.ends);
    let (mut threads, entrance) =
        start_threads(&gateway, doors, workers, &working, ends).map_err(|e| other("worker", &e))?;
    threads.extend([loader, monitor]);
    threads.extend(beside.webhook.take());

    if let Some((admin, ops, addresses)) = others {
        let port = Port { gateway: gateway.clone(), addresses, tokens: admin_tokens, read_only: false };
        let listener = tokio::net::TcpListener::from_std(admin).map_err(|e| other("admin port", &e))?;
        if let Some(ops) = ops {
            let port = Port { tokens: None, read_only: true, ..port.clone() };
            let listener = tokio::net::TcpListener::from_std(ops).map_err(|e| other("ops port", &e))?;
            crate::task::spawn("ops-port", admin_port::serve(listener, port));
        }
        crate::task::spawn("admin-port", admin_port::serve(listener, port));
    }
    let signals = Signals::new().map_err(|e| other("signals", &e))?;
    Ok(Running { gateway, entrance, signals, stop_accepting, stop_workers, commands, threads, beside, uds })
}

/// How long what shadows are at may take.
const SHADOW_TIME: Duration = Duration::from_millis(300);
/// How long what is to be written at the end may take.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// What the acceptor gets: closing the port means dropping these, so nobody else holds them.
struct Doors {
    http: std::net::TcpListener,
    uds: Option<std::os::unix::net::UnixListener>,
    accepting: watch::Receiver<bool>,
}

fn start_threads(
    gateway: &Arc<Gateway>,
    doors: Option<Doors>,
    workers: usize,
    working: &watch::Receiver<bool>,
    ends: Vec<End>,
) -> io::Result<(Vec<JoinHandle<()>>, Entrance)> {
    let runner = |(number, end): (usize, End)| Runner {
        tap: end.tap,
        recorder: end.recorder,
        scratch: Scratch::new(number),
        ids: Ids::new(),
        metrics: gateway.metrics.clone(),
        receipts: gateway.receipts.clone(),
        log: gateway.monitor.log().cloned(),
    };
    let mut runners: Vec<Runner> = ends.into_iter().enumerate().map(runner).collect();
    let (lanes, mut threads) = Lanes::start(gateway, runners.split_off(workers))?;
    let mut handles = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..workers {
        let (streams, receiver) = tokio::sync::mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        handles.push(Handle { streams, connections: connections.clone() });
        receivers.push((receiver, connections));
    }
    let cap = Arc::new(Semaphore::new(connection_cap(gateway.config.load().http.max_connections)));
    let entrance = Entrance { gateway: gateway.clone(), workers: handles.clone(), cap: cap.clone() };
    let mut acceptor = doors.map(|doors| Acceptor {
        gateway: gateway.clone(),
        tcp: doors.http,
        unix: doors.uds,
        workers: handles,
        cap,
        stop: doors.accepting,
    });
    for ((number, (streams, connections)), runner) in receivers.into_iter().enumerate().zip(runners) {
        threads.push(worker::start(Parts {
            number,
            gateway: gateway.clone(),
            runner,
            lanes: lanes.clone(),
            acceptor: acceptor.take(),
            stop: working.clone(),
            streams,
            connections,
        })?);
    }
    Ok((threads, entrance))
}

/// Not ready, then no new connections, then the end of what is in flight.
async fn drain(gateway: &Gateway, stop_accepting: &watch::Sender<bool>) {
    let shutdown = gateway.config.load().shutdown.clone();
    gateway.draining.store(true, Relaxed);
    tracing::info!(inflight = gateway.inflight.load(Relaxed), "draining");
    tokio::time::sleep(shutdown.drain_delay).await;
    stop_accepting.send_replace(true);
    // Until the acceptor has let go of its receiver, it may hand over connections that are not counted yet.
    drop(tokio::time::timeout(shutdown.timeout, stop_accepting.closed()).await);
    let start = Instant::now();
    loop {
        let open = gateway.connections.load(Relaxed);
        let busy = gateway.inflight.load(Relaxed);
        // Connections close after their next answer; those that stay idle are closed when the grace is over.
        if open == 0 || (busy == 0 && start.elapsed() >= IDLE_GRACE) {
            return;
        }
        if start.elapsed() >= shutdown.timeout {
            return tracing::warn!(busy, "the drain took too long; what is left is cut off");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for the threads, but not for one that is stuck in an engine.
async fn finish(running: &Running) {
    let Running { threads, beside, gateway, uds, .. } = running;
    settled(threads, Duration::from_secs(1)).await;
    // What they left is logged, and what is known of experiments published: worth some more seconds.
    if let Some(log) = gateway.monitor.log() {
        log.end();
    }
    settled(beside.publisher.iter().chain(&beside.log), WRITE_TIME).await;
    if beside.log.as_ref().is_some_and(|log| !log.is_finished()) {
        tracing::error!("the end of the prediction log was not written in time, and is lost");
    }
    if let Some(path) = uds {
        drop(std::fs::remove_file(path));
    }
    tracing::info!("ended");
}

/// Waits until threads have ended, but no longer than that.
async fn settled<'a>(threads: impl IntoIterator<Item = &'a JoinHandle<()>> + Clone, limit: Duration) {
    let deadline = Instant::now() + limit;
    while threads.clone().into_iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// === impl Running ===

impl Running {
    /// A connection to the data port's own code, whether it listens or not. Nobody else can reach it.
    ///
    /// # Errors
    /// Without a file descriptor, or with too many connections open.
    pub fn connect(&self) -> io::Result<UnixStream> {
        self.entrance.connect()
    }

    /// Returns when a signal asks the process to end.
    pub async fn asked_to_end(&mut self) {
        self.signals.end().await;
    }

    /// Drains, and waits for the threads.
    pub async fn end(mut self) {
        tokio::select! {
            () = drain(&self.gateway, &self.stop_accepting) => {}
            () = self.signals.end() => tracing::warn!("second signal: ending at once"),
        }
        self.stop_workers.send_replace(true);
        drop(self.commands.send(Command::Stop));
        self.gateway.monitor.shadows().end();
        settled([&self.beside.shadow], SHADOW_TIME).await;
        self.gateway.monitor.ask(Ask::Stop);
        finish(&self).await;
    }
}
