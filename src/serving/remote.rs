//! Another server that answers as a variant: where it is, and how it has been doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::circuit::Circuit;
use crate::experiment::RemoteUrl;

/// Most requests that wait for one server at once.
const MAX_INFLIGHT: usize = 256;

/// A remote variant's server; kept over publishes, so that its circuit is.
pub struct Remote {
    /// Where it is.
    pub url: RemoteUrl,
    /// Open while it keeps failing.
    pub circuit: Circuit,
    requests: AtomicU64,
    retries: AtomicU64,
    inflight: AtomicUsize,
}

/// A request's place among those that wait; given back when it is dropped.
pub struct Waiting(Arc<Remote>);

// === impl Remote ===

impl Remote {
    /// A server that nothing is known of.
    pub fn new(url: RemoteUrl) -> Self {
        Self {
            url,
            circuit: Circuit::default(),
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            inflight: AtomicUsize::new(0),
        }
    }

    /// A place for a request, unless too many wait.
    pub fn enter(self: &Arc<Self>) -> Option<Waiting> {
        // Counted before it is compared, and given back by the guard.
        let before = self.inflight.fetch_add(1, Relaxed);
        let waiting = Waiting(self.clone());
        if before >= MAX_INFLIGHT {
            return None;
        }
        self.requests.fetch_add(1, Relaxed);
        Some(waiting)
    }

    /// Whether a request may be sent once more: of ten requests one, and the first, so that a server in trouble does not
    /// get twice the load.
    pub fn may_retry(&self) -> bool {
        let allowed = self.requests.load(Relaxed) / 10 + 1;
        self.retries
            .fetch_update(Relaxed, Relaxed, |retries| (retries < allowed).then_some(retries + 1))
            .is_ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inflight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Arc<Remote> {
        Arc::new(Remote::new(RemoteUrl { host: "h".into(), port: 80, path: "/v2/models/m".into() }))
    }

    #[test]
    fn one_request_in_ten_is_sent_again() {
        let remote = remote();
        let retries = (0..100).filter(|_| remote.enter().is_some() && remote.may_retry()).count();
        assert_eq!(retries, 11);
    }

    #[test]
    fn so_many_wait_and_no_more_until_one_is_through() {
        let remote = remote();
        let mut waiting: Vec<_> = (0..MAX_INFLIGHT).map(|_| remote.enter().unwrap()).collect();
        assert!(remote.enter().is_none());
        waiting.pop();
        assert!(remote.enter().is_some());
    }
}
