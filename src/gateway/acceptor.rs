//! One acceptor for all workers: it owns the listeners, the connection cap and the back-off.
//!
//! `SO_REUSEPORT` would hash connections to workers and leave some idle when there are few, and does not exist
//! for Unix sockets; handing each connection to the least loaded worker does better.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::stream::{Detached, Socket};
use super::{Gateway, connection};

/// Pause after a failed accept, most often for want of file descriptors: spinning would not free one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// File descriptors left for the admin port, the registry and the engines.
const RESERVED_FILES: usize = 48;

/// A connection's place under the cap and in its worker's count, given back when it is dropped.
pub(super) struct Place {
    _cap: OwnedSemaphorePermit,
    worker: Arc<AtomicUsize>,
    gateway: Arc<Gateway>,
}

/// How others see a worker.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) streams: mpsc::UnboundedSender<(Detached, Place)>,
    pub(super) connections: Arc<AtomicUsize>,
}

/// Accepts until told to stop. Runs on the first worker.
pub(super) struct Acceptor {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tcp: std::net::TcpListener,
    pub(super) unix: Option<std::os::unix::net::UnixListener>,
    pub(super) workers: Vec<Handle>,
    pub(super) cap: Arc<Semaphore>,
    /// Turns true when no more connections are to be accepted.
    pub(super) stop: watch::Receiver<bool>,
}

/// The cap on connections: the configured one, or what the file descriptor limit leaves.
pub(super) fn connection_cap(configured: usize) -> usize {
    let Some(files) = crate::process::open_files_limit() else { return configured };
    let left = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(RESERVED_FILES).max(1);
    if left < configured {
        tracing::warn!(
            open_files = files,
            connections = left,
            "the limit of open files allows fewer connections than http.max_connections"
        );
    }
    configured.min(left)
}

impl Acceptor {
    pub(super) async fn run(self) {
        let Self { gateway, tcp, unix, workers, cap, mut stop } = self;
        let listeners = TcpListener::from_std(tcp).and_then(|tcp| {
            let unix = unix.map(UnixListener::from_std).transpose()?;
            Ok((tcp, unix))
        });
        let (tcp, unix) = match listeners {
            Ok(listeners) => listeners,
            Err(error) => return tracing::error!(%error, "the data port cannot be served"),
        };
        loop {
            // Without a free place nothing is accepted: newcomers wait in the kernel's queue.
            let place = tokio::select! {
                place = cap.clone().acquire_owned() => place,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                biased;
                accepted = accept(&tcp, unix.as_ref()) => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok(socket) => hand_over(&gateway, &workers, socket, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
        if let Err(error) = take_completed(&gateway, &workers, &cap, tcp, unix) {
            tracing::warn!(%error, "connections that wait for the closing port are lost");
        }
    }
}

/// Takes what the kernel had already completed, so that closing the ports resets nobody. Nothing is awaited, and each
/// port is dropped the moment there is nothing more.
fn take_completed(
    gateway: &Arc<Gateway>,
    workers: &[Handle],
    cap: &Arc<Semaphore>,
    tcp: TcpListener,
    unix: Option<UnixListener>,
) -> io::Result<()> {
    let tcp = tcp.into_std()?;
    while let Ok(place) = cap.clone().try_acquire_owned() {
        let Ok((stream, _)) = tcp.accept() else { break };
        stream.set_nonblocking(true)?;
        hand_over(gateway, workers, Socket::Tcp(TcpStream::from_std(stream)?), place);
    }
    drop(tcp);
    let Some(unix) = unix.map(UnixListener::into_std).transpose()? else { return Ok(()) };
    while let Ok(place) = cap.clone().try_acquire_owned() {
        let Ok((stream, _)) = unix.accept() else { break };
        stream.set_nonblocking(true)?;
        hand_over(gateway, workers, Socket::Unix(UnixStream::from_std(stream)?), place);
    }
    Ok(())
}

async fn accept(tcp: &TcpListener, unix: Option<&UnixListener>) -> io::Result<Socket> {
    let Some(unix) = unix else { return tcp.accept().await.map(|(stream, _)| Socket::Tcp(stream)) };
    tokio::select! {
        accepted = tcp.accept() => accepted.map(|(stream, _)| Socket::Tcp(stream)),
        accepted = unix.accept() => accepted.map(|(stream, _)| Socket::Unix(stream)),
    }
}

fn hand_over(gateway: &Arc<Gateway>, workers: &[Handle], socket: Socket, cap: OwnedSemaphorePermit) {
    if let Socket::Tcp(tcp) = &socket {
        // Small answers must not wait for the client's acknowledgement.
        drop(tcp.set_nodelay(true));
    }
    let least = workers.iter().enumerate().min_by_key(|(_, worker)| worker.connections.load(Relaxed));
    let Some((number, worker)) = least else { return };
    let place = Place::new(cap, worker.connections.clone(), gateway.clone());
    // The first worker is this thread; others have reactors of their own.
    if number == 0 {
        return connection::spawn(socket, place, gateway.clone());
    }
    match socket.detach() {
        Ok(detached) => drop(worker.streams.send((detached, place))),
        Err(error) => tracing::warn!(%error, "a connection cannot be handed over"),
    }
}

// === impl Place ===

impl Place {
    pub(super) fn new(cap: OwnedSemaphorePermit, worker: Arc<AtomicUsize>, gateway: Arc<Gateway>) -> Self {
        worker.fetch_add(1, Relaxed);
        gateway.connections.fetch_add(1, Relaxed);
        Self { _cap: cap, worker, gateway }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Relaxed);
        self.gateway.connections.fetch_sub(1, Relaxed);
    }
}
