//! A way in without a port: one end of a pair of sockets, the other end of which a worker serves as it serves any.

use std::io;
use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::Gateway;
use super::acceptor::{Handle, Place};
use super::stream::Detached;

/// Makes connections to this process's own workers.
pub(super) struct Entrance {
    pub(super) gateway: Arc<Gateway>,
    pub(super) workers: Vec<Handle>,
    pub(super) cap: Arc<Semaphore>,
}

// === impl Entrance ===

impl Entrance {
    /// A connection that the least loaded worker serves.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let place = self.cap.clone().try_acquire_owned();
        let place = place.map_err(|_| io::Error::other("too many connections are open"))?;
        let (ours, theirs) = Pair::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let worker = self.workers.iter().min_by_key(|worker| worker.connections.load(Relaxed));
        let worker = worker.ok_or_else(|| io::Error::other("there is no worker"))?;
        let place = Place::new(place, worker.connections.clone(), self.gateway.clone());
        let sent = worker.streams.send((Detached::Unix(theirs), place));
        sent.map_err(|_| io::Error::other("the worker has ended"))?;
        UnixStream::from_std(ours)
    }
}
