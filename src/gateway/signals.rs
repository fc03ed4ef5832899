//! What the outside asks of the process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean something to a gateway.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
pub(super) enum Asked {
    End,
    Reload,
}

// === impl Signals ===

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal, or `None` after `pause` without one.
    pub(super) async fn next(&mut self, pause: Duration) -> Option<Asked> {
        tokio::select! {
            _ = self.terminate.recv() => Some(Asked::End),
            _ = self.interrupt.recv() => Some(Asked::End),
            _ = self.hangup.recv() => Some(Asked::Reload),
            () = tokio::time::sleep(pause) => None,
        }
    }

    /// Returns when the process is to end.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
