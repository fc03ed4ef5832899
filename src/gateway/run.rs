//! The process: bind, start the threads, tell where it listens, wait for a signal, drain, end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use super::acceptor::{Acceptor, Handle, connection_cap};
use super::admin::{self as admin_port, Port};
use super::id::Ids;
use super::lane::Lanes;
use super::predict::Runner;
use super::settings::{Settings, Tokens};
use super::worker::{self, Parts};
use super::{Addresses, Gateway, Reloads};
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

/// Everything that was bound before any thread was started.
struct Listeners {
    http: TcpListener,
    uds: Option<UnixListener>,
    admin: TcpListener,
    ops: Option<TcpListener>,
    addresses: Addresses,
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
    let other = |what: &str, error: &dyn std::fmt::Display| Failure::Other(format!("{what}: {error}"));
    let listeners = bind(&config)?;
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
        loader: commands.clone(),
        monitor: handle,
        receipts,
        inflight: AtomicUsize::new(0),
        inflight_bytes: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        started: Instant::now(),
        addresses: listeners.addresses.clone(),
        reloads: ArcSwap::from_pointee(Reloads::default()),
    });
    let channel = (commands.clone(), orders);
    let loader = Loader::new(registry, cache, config.clone(), metrics, serving, callers, channel);
    let loader = loader
        .and_then(|loader| std::thread::Builder::new().name("loader".into()).spawn(move || loader.run()))
        .map_err(|e| other("loader", &e))?;
    let (stop_accepting, accepting) = watch::channel(false);
    let (stop_workers, working) = watch::channel(false);
    let Listeners { http, uds, admin, ops, .. } = listeners;
    let doors = Doors { http, uds, accepting };
    let mut threads = start_threads(&gateway, doors, workers, &working, std::mem::take(&mut beside.ends))
        .map_err(|e| other("worker", &e))?;

    let port = Port { gateway: gateway.clone(), tokens: admin_tokens, read_only: false };
    let listener = tokio::net::TcpListener::from_std(admin).map_err(|e| other("admin port", &e))?;
    crate::task::spawn("admin-port", admin_port::serve(listener, port));
    if let Some(ops) = ops {
        let port = Port { gateway: gateway.clone(), tokens: None, read_only: true };
        let listener = tokio::net::TcpListener::from_std(ops).map_err(|e| other("ops port", &e))?;
        crate::task::spawn("ops-port", admin_port::serve(listener, port));
    }
    let mut signals = Signals::new().map_err(|e| other("signals", &e))?;
    announce(&gateway.addresses, &gateway);
    loop {
        match signals.next(Duration::from_secs(1)).await {
            Some(Asked::End) => break,
            Some(Asked::Reload) => reload(&gateway, true),
            None => reload(&gateway, false),
        }
    }
    tokio::select! {
        () = drain(&gateway, &stop_accepting) => {}
        () = signals.end() => tracing::warn!("second signal: ending at once"),
    }
    stop_workers.send_replace(true);
    drop(commands.send(Command::Stop));
    gateway.monitor.shadows().end();
    settled([&beside.shadow], SHADOW_TIME).await;
    gateway.monitor.ask(Ask::Stop);
    threads.extend([loader, monitor]);
    threads.extend(beside.webhook.take());
    finish(&threads, &beside, &gateway).await;
    Ok(())
}

/// How long what shadows are at may take.
const SHADOW_TIME: Duration = Duration::from_millis(300);
/// How long what is to be written at the end may take.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// What the acceptor gets: closing the port means dropping these, so nobody else holds them.
struct Doors {
    http: TcpListener,
    uds: Option<UnixListener>,
    accepting: watch::Receiver<bool>,
}

fn start_threads(
    gateway: &Arc<Gateway>,
    doors: Doors,
    workers: usize,
    working: &watch::Receiver<bool>,
    ends: Vec<End>,
) -> io::Result<Vec<JoinHandle<()>>> {
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
    let cap = connection_cap(gateway.config.load().http.max_connections);
    let mut acceptor = Some(Acceptor {
        gateway: gateway.clone(),
        tcp: doors.http,
        unix: doors.uds,
        workers: handles,
        cap: Arc::new(Semaphore::new(cap)),
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
    Ok(threads)
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
async fn finish(threads: &[JoinHandle<()>], beside: &Beside, gateway: &Gateway) {
    settled(threads, Duration::from_secs(1)).await;
    // What they left is logged, and what is known of experiments published: worth some more seconds.
    if let Some(log) = gateway.monitor.log() {
        log.end();
    }
    settled(beside.publisher.iter().chain(&beside.log), WRITE_TIME).await;
    if beside.log.as_ref().is_some_and(|log| !log.is_finished()) {
        tracing::error!("the end of the prediction log was not written in time, and is lost");
    }
    if let Some(path) = &gateway.addresses.uds {
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

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Asked {
    End,
    Reload,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal, or `None` after `pause` without one.
    async fn next(&mut self, pause: Duration) -> Option<Asked> {
        tokio::select! {
            _ = self.terminate.recv() => Some(Asked::End),
            _ = self.interrupt.recv() => Some(Asked::End),
            _ = self.hangup.recv() => Some(Asked::Reload),
            () = tokio::time::sleep(pause) => None,
        }
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn bind(config: &Config) -> Result<Listeners, Failure> {
    let tcp = |what: &'static str, address: SocketAddr| {
        let failure = |error| Failure::Bind { what, address: address.to_string(), error };
        let listener = TcpListener::bind(address).map_err(failure)?;
        listener.set_nonblocking(true).map_err(failure)?;
        let bound = listener.local_addr().map_err(failure)?;
        Ok::<_, Failure>((listener, bound))
    };
    let (http, http_address) = tcp("http", config.http.listen)?;
    let (admin, admin_address) = tcp("admin", config.admin.listen)?;
    let ops = config.ops.listen.map(|address| tcp("ops", address)).transpose()?;
    let uds = config.http.uds.as_deref().map(bind_unix).transpose()?;
    let addresses = Addresses {
        http: http_address,
        admin: admin_address,
        ops: ops.as_ref().map(|(_, address)| *address),
        uds: config.http.uds.clone(),
    };
    Ok(Listeners { http, uds, admin, ops: ops.map(|(listener, _)| listener), addresses })
}

/// Binds a Unix socket. A socket file that nobody listens on any more is replaced; anything else is left alone.
fn bind_unix(path: &Path) -> Result<UnixListener, Failure> {
    let failure = |error| Failure::Bind { what: "uds", address: path.display().to_string(), error };
    let stale = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if stale {
        std::fs::remove_file(path).map_err(failure)?;
    }
    let listener = UnixListener::bind(path).map_err(failure)?;
    listener.set_nonblocking(true).map_err(failure)?;
    // The app's container may run as another user; who may reach the socket is decided by its folder.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failure)?;
    Ok(listener)
}

impl Addresses {
    /// The line on standard output that others wait for.
    pub fn line(&self) -> String {
        let uds = self.uds.as_ref().map_or_else(|| "-".to_owned(), |p: &PathBuf| p.display().to_string());
        format!("listening http={} admin={} uds={uds}", self.http, self.admin)
    }
}
