//! Work that nobody waits for, in slices: under a quota every thread takes from the same time, whatever its priority.

use std::time::{Duration, Instant};

/// Keeps a thread to about a quarter of the processor when requests compete for a quota.
pub struct Pacer {
    slow: bool,
    last: Instant,
}

impl Pacer {
    /// One that paces only where it is `slow`.
    pub fn new(slow: bool) -> Self {
        Self { slow, last: Instant::now() }
    }

    /// Rests as long as the work since the last time is worth.
    pub fn pace(&mut self) {
        if self.slow {
            std::thread::sleep((self.last.elapsed() * 3).min(Duration::from_millis(100)));
        }
        self.last = Instant::now();
    }
}
