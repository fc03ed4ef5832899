//! Predictions that wait for their actuals: bounded by bytes, the oldest give way, and everything is counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::record::{Predictions, Record};
use crate::experiment::Track;

/// Most predictions of a generation: few enough that its index stays in a core's cache while it fills.
const GENERATION: usize = 8192;
/// Bytes of a prediction: itself, and its place in the index, of which up to half is empty.
const ENTRY_BYTES: usize = size_of::<Waiting>() + 2 * size_of::<(u64, u32)>();
/// Bytes of an actual.
const ACTUAL_BYTES: usize = size_of::<Option<Actual>>();
/// Predictions that are remembered, by hash alone, after they gave way with an actual.
const MAX_SPENT: usize = 200_000;

/// A prediction and what is known of its actuals.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The experiment that it takes part in.
    pub(super) track: Option<Arc<Track>>,
    /// The number of the version that predicted; 0 where nobody knows.
    pub(super) version: u32,
    /// The hash of its request's id, or of its receipt.
    pub(super) id: u64,
    pub(super) unit: u64,
    pub(super) at: u64,
    pub(super) slot: u32,
    pub(super) variant: u8,
    /// Whether it is among the predictions that performance has counted.
    pub(super) own: bool,
    pub(super) predictions: Predictions,
    /// Row by row; none while there is none.
    pub(super) actuals: Option<Box<[Option<Actual>]>>,
}

/// What was true of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Actual {
    pub(super) value: f64,
    /// Whether performance has counted it.
    pub(super) counted: bool,
    /// Whether it was too late for somebody.
    pub(super) late: bool,
}

/// All of them, in generations that come and go as a whole: counting one touches no more memory than the latest has,
/// finding one looks into each.
pub(super) struct Pending {
    /// The latest is the last.
    generations: VecDeque<Generation>,
    /// Predictions of a generation.
    most: usize,
    /// One that is free again.
    spare: Option<Generation>,
    bytes: usize,
    max_bytes: usize,
    /// Those that gave way with an actual, which must not count again.
    spent: HashSet<u64, RandomState>,
    spent_order: VecDeque<u64>,
    /// How many gave way before their actual came.
    pub(super) evicted: u64,
}

#[derive(Default)]
struct Generation {
    entries: Vec<Waiting>,
    /// By the hash of a request's id or of a receipt, the latest with it.
    places: HashMap<u64, u32, RandomState>,
    bytes: usize,
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            generations: VecDeque::new(),
            // A share of them gives way at once, and not so many are to be looked into.
            most: (max_bytes / ENTRY_BYTES / 16).clamp(1, GENERATION).max(max_bytes / ENTRY_BYTES / 64),
            spare: None,
            bytes: 0,
            max_bytes,
            spent: HashSet::default(),
            spent_order: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Keeps a prediction; one with the same id is not found any more.
    pub(super) fn insert(&mut self, waiting: Waiting) {
        let bytes = waiting.bytes();
        if self.generations.back().is_none_or(|latest| latest.entries.len() >= self.most) {
            let mut next = self.spare.take().unwrap_or_default();
            next.entries.reserve_exact(self.most);
            next.places.reserve(self.most);
            self.generations.push_back(next);
        }
        if let Some(latest) = self.generations.back_mut() {
            latest.places.insert(waiting.id, latest.entries.len() as u32);
            latest.entries.push(waiting);
            latest.bytes += bytes;
        }
        self.bytes += bytes;
        while self.bytes > self.max_bytes
            && let Some(oldest) = self.generations.pop_front()
        {
            self.give_way(oldest);
        }
    }

    fn give_way(&mut self, mut gone: Generation) {
        self.bytes -= std::mem::take(&mut gone.bytes);
        gone.places.clear();
        for entry in gone.entries.drain(..) {
            match entry.actuals {
                None => self.evicted += 1,
                Some(_) => self.spend(entry.id),
            }
        }
        self.spare = Some(gone);
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
        self.generations.iter_mut().rev().find_map(|generation| {
            let place = *generation.places.get(&id)?;
            generation.entries.get_mut(place as usize)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.generations.iter().map(|generation| generation.entries.len()).sum()
    }
}

// === impl Waiting ===

impl Waiting {
    /// Of a request whose predictions wait; `own` are those that performance has counted.
    pub(super) fn of(record: Record, own: bool) -> Self {
        let Record { track, version, unit, id, at, slot, variant, predictions, .. } = record;
        Self { track, version, id, unit, at, slot, variant, own, predictions, actuals: None }
    }

    /// What it takes, with an actual for every row.
    fn bytes(&self) -> usize {
        let rows = self.predictions.rows();
        // One row is kept in the entry.
        let kept = if rows.len() > 1 { size_of_val(rows) } else { 0 };
        ENTRY_BYTES + kept + rows.len() * ACTUAL_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::state::tests::{record, track};

    fn waiting(track: &Arc<Track>, n: u64, id: u64) -> Waiting {
        let record = record(track, n, n);
        Waiting { id, ..Waiting::of(record, false) }
    }

    #[test]
    fn the_oldest_give_way_and_everything_is_counted() {
        let track = track(|_| ());
        let one = waiting(&track, 0, 0).bytes();
        let room = 3200;
        let mut pending = Pending::new(room * one);
        let (mut came, mut labelled) = (0, 0);
        for n in 0..10_000_u64 {
            pending.insert(waiting(&track, n, n));
            // One that comes again is found instead of the former.
            if n % 3 == 0 {
                pending.insert(waiting(&track, n + 1_000_000, n));
            }
            came += 1 + u64::from(n % 3 == 0);
            if n % 5 == 0 {
                pending.get_mut(n).unwrap().actuals =
                    Some(vec![Some(Actual { value: 1.0, counted: false, late: false })].into());
                labelled += 1;
            }
            assert!(pending.bytes <= room * one);
        }
        assert_eq!(pending.bytes, pending.len() * one);
        assert!(pending.len() > room * 9 / 10, "{}", pending.len());
        let first = (0..10_000).find(|n| pending.get_mut(*n).is_some()).unwrap();
        assert!((0..first).all(|n| pending.is_spent(n) == (n % 5 == 0)));
        assert!((first..10_000).all(|n| !pending.is_spent(n)));
        for n in first + 1..10_000 {
            let at = if n % 3 == 0 { n + 1_000_000 } else { n };
            assert!(pending.get_mut(n).is_some_and(|found| (found.id, found.at) == (n, at)), "{n}");
        }
        let kept = (first..10_000).filter(|n| n % 5 == 0).count() as u64;
        assert_eq!(pending.evicted, came - pending.len() as u64 - (labelled - kept));
    }

    #[test]
    fn one_that_is_larger_than_the_room_does_not_stay() {
        let track = track(|_| ());
        let mut pending = Pending::new(1);
        (0..3).for_each(|n| pending.insert(waiting(&track, n, n)));
        assert_eq!((pending.len(), pending.bytes, pending.evicted), (0, 0, 3));
    }
}
