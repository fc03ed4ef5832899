//! Predictions that wait for their actuals: bounded by bytes, the oldest give way, and everything is counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::experiment::{Predicted, Track};

/// Bytes of an entry beside its rows: itself, its place in the order, and what a table of hashes leaves empty.
const ENTRY_BYTES: usize = 200;
/// Bytes of a row: its prediction and its actual.
const ROW_BYTES: usize = 32;
/// Predictions that are remembered, by hash alone, after they gave way with an actual.
const MAX_SPENT: usize = 200_000;

/// A prediction and what is known of its actuals.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) track: Arc<Track>,
    pub(super) variant: usize,
    pub(super) slot: u32,
    pub(super) unit: u64,
    pub(super) at: u64,
    pub(super) rows: SmallVec<[Predicted; 1]>,
    /// Row by row; empty while there is none.
    pub(super) actuals: Vec<Option<f64>>,
}

/// All of them, by the hash of a request's id or of a receipt.
pub(super) struct Pending {
    entries: HashMap<u64, Waiting>,
    order: VecDeque<u64>,
    bytes: usize,
    max_bytes: usize,
    /// Those that gave way with an actual, which must not count again.
    spent: HashSet<u64>,
    spent_order: VecDeque<u64>,
    /// How many gave way before their actual came.
    pub(super) evicted: u64,
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes,
            spent: HashSet::new(),
            spent_order: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Keeps a prediction; one with the same id is replaced.
    pub(super) fn insert(&mut self, id: u64, waiting: Waiting) {
        self.bytes += size(&waiting);
        match self.entries.insert(id, waiting) {
            Some(before) => self.bytes -= size(&before),
            None => self.order.push_back(id),
        }
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= size(&gone);
                self.evicted += u64::from(gone.actuals.is_empty());
                if !gone.actuals.is_empty() {
                    self.spend(oldest);
                }
            }
        }
    }

    fn spend(&mut self, id: u64) {
        if self.spent.insert(id) {
            self.spent_order.push_back(id);
        }
        if self.spent.len() > MAX_SPENT
            && let Some(oldest) = self.spent_order.pop_front()
        {
            self.spent.remove(&oldest);
        }
    }

    /// Whether an actual of it was counted before it gave way.
    pub(super) fn is_spent(&self, id: u64) -> bool {
        self.spent.contains(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Waiting> {
        self.entries.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn size(waiting: &Waiting) -> usize {
    ENTRY_BYTES + waiting.rows.len() * ROW_BYTES
}
