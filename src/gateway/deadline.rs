//! One timer per connection, armed lazily: moving the deadline later costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// A deadline that can be moved at every step of a connection.
///
/// A timer that fires early looks at the true deadline and goes on; only a deadline that moves *before* the
/// armed time touches the timer wheel. A keep-alive connection so arms its timer about once a minute.
pub(super) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

impl Deadline {
    /// Due `after` from now.
    pub(super) fn new(after: Duration) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(after)), at: Instant::now() + after }
    }

    /// Moves it to `after` from `now`.
    #[inline]
    pub(super) fn set(&mut self, now: Instant, after: Duration) {
        self.at = now + after;
    }

    /// Ready once the deadline has passed.
    #[inline]
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let at = tokio::time::Instant::from_std(self.at);
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}
