//! What the monitor wants to see of a version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::drift::{Layout, Reference};

/// Numbers of versions, as long as the process lives.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A version's features, and which of its requests are shown to the monitor.
#[derive(Debug)]
pub struct Watch {
    /// Its number, which no other version of this process has.
    pub id: u32,
    /// Its features.
    pub layout: Layout,
    /// How they were distributed, where that came with the version.
    pub reference: Option<Arc<Reference>>,
    /// Every how many requests one is shown; 0: none.
    every: AtomicU32,
    requests: AtomicU32,
    /// Whether what it predicts waits for what comes.
    remembers: AtomicBool,
}

// === impl Watch ===

impl Watch {
    /// Of a version with these features; nothing is shown until the monitor asks.
    pub fn new(layout: Layout, reference: Option<Reference>) -> Self {
        let id = NEXT.fetch_add(1, Relaxed);
        Self {
            id,
            layout,
            reference: reference.map(Arc::new),
            every: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            remembers: AtomicBool::new(false),
        }
    }

    /// Whether this request is to be shown.
    #[inline]
    pub fn wants(&self) -> bool {
        match self.every.load(Relaxed) {
            0 => false,
            1 => true,
            every => self.requests.fetch_add(1, Relaxed).is_multiple_of(every),
        }
    }

    /// Asks for every so many requests.
    pub fn ask(&self, every: u32) {
        self.every.store(every, Relaxed);
    }

    /// Whether its predictions are told, for their actuals.
    #[inline]
    pub fn remembers(&self) -> bool {
        self.remembers.load(Relaxed)
    }

    /// Asks for its predictions, or for none.
    pub fn remember(&self, on: bool) {
        self.remembers.store(on, Relaxed);
    }

    /// What was asked for.
    pub fn every(&self) -> u32 {
        self.every.load(Relaxed)
    }
}
