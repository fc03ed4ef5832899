//! One line on standard error that tells how far it is, where somebody watches.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::cli::complain;

/// Drawing more often would cost time that is being measured.
const PAUSE: Duration = Duration::from_millis(100);

/// The line; it is wiped when this is dropped.
pub(super) struct Progress {
    watched: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { watched: std::io::stderr().is_terminal(), drawn: None }
    }

    /// Says what is done now, and how much of it.
    pub(super) fn tell(&mut self, what: &str, done: usize, of: usize) {
        let due = done == 0 || self.drawn.is_none_or(|drawn| drawn.elapsed() > PAUSE);
        if self.watched && due {
            let full = (done * 20).checked_div(of).unwrap_or(0).min(20);
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(20 - full));
            complain(&format!("\r\x1b[K{bar} {what} {done}/{of}"));
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            complain("\r\x1b[K");
        }
    }
}
