//! Freeing what is no longer served, on the builder's thread and never on one that answers requests.

use std::sync::Arc;

use super::ServedVersion;

/// Versions that were swapped out and may still answer requests in flight.
#[derive(Default)]
pub(super) struct Retired {
    waiting: Vec<Arc<ServedVersion>>,
}

impl Retired {
    /// Takes the last long-lived reference to a version.
    pub(super) fn push(&mut self, version: Arc<ServedVersion>) {
        self.waiting.push(version);
    }

    /// Drops what nobody uses any more and gives its memory back. Returns whether something still waits.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.waiting.len();
        // Nobody can clone a version that no snapshot holds, so a count of one stays one.
        self.waiting.retain(|version| Arc::strong_count(version) > 1);
        if self.waiting.len() < before {
            crate::native::trim_heap();
        }
        !self.waiting.is_empty()
    }
}
