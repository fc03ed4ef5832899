//! Windows that are hours of the clock, each held against the same one of last week.

use super::hours::Hours;
use super::reference::Reference;
use super::watching::MIN_LEARNED;
use super::window::{Counts, Window};

/// Milliseconds of an hour.
pub(super) const HOUR_MILLIS: u64 = 3_600_000;

/// The hour that is being counted, and those that are over.
#[derive(Debug)]
pub(super) struct Clock {
    hours: Hours,
    /// Since 1970.
    hour: u64,
    /// Whether it was watched from its beginning.
    whole: bool,
    /// The hour that is over, with what to hold it against.
    over: Option<(Reference, Counts)>,
}

// === impl Clock ===

impl Clock {
    pub(super) fn new(now: u64) -> Self {
        Self { hours: Hours::default(), hour: now / HOUR_MILLIS, whole: false, over: None }
    }

    /// Goes on to the hour that it is now: `window` holds what came in the one before.
    pub(super) fn turn(&mut self, learned: &Reference, window: &mut Window, now: u64) {
        let hour = now / HOUR_MILLIS;
        // A clock that was set back counts on into the hour that it was.
        if hour <= self.hour {
            return;
        }
        window.close(learned);
        let total = window.total(learned);
        if self.whole {
            let reference = self.hours.reference(self.hour, learned);
            let reference = reference.filter(|reference| reference.rows >= MIN_LEARNED as u64);
            self.over = reference.map(|reference| (reference, total.clone()));
            self.hours.put(self.hour, &total);
        }
        (self.hour, self.whole) = (hour, true);
    }

    /// What is to be evaluated, once.
    pub(super) fn take(&mut self) -> Option<(Reference, Counts)> {
        self.over.take()
    }

    /// Bytes that it takes in the end.
    pub(super) fn bytes(reference: &Reference) -> usize {
        Hours::bytes(reference.cells())
    }
}
