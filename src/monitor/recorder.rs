//! Where threads that answer leave records for the monitor.
//!
//! A ring belongs to one thread that answers and to the monitor, so that leaving a record is a copy into memory that is
//! there and one store. Where there is no room, the record is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rtrb::{Consumer, Producer, RingBuffer};

use super::now;
use super::record::Record;

/// Records of a ring: a quarter of a MiB.
const RING: usize = 4096;
const _: () = assert!(size_of::<Record>() <= 64, "a record is a line of the cache");

/// The end of a ring that a thread which answers has.
pub struct Recorder {
    ring: Producer<Record>,
    dropped: Arc<AtomicU64>,
    /// A moment by both clocks: reading one clock a request is enough.
    moment: (Instant, u64),
}

/// The monitor's ends of all rings.
#[derive(Default)]
pub struct Records {
    rings: Vec<Consumer<Record>>,
    dropped: Arc<AtomicU64>,
}

// === impl Recorder ===

impl Recorder {
    /// Leaves a record, or drops and counts it where too many wait.
    #[inline]
    pub fn record(&mut self, record: Record) {
        if self.ring.push(record).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// A moment in milliseconds since 1970.
    #[inline]
    pub fn millis(&self, moment: Instant) -> u64 {
        let (known, millis) = self.moment;
        millis + moment.saturating_duration_since(known).as_millis() as u64
    }
}

// === impl Records ===

impl Records {
    /// A ring for one more thread.
    pub fn recorder(&mut self) -> Recorder {
        let (ring, end) = RingBuffer::new(RING);
        self.rings.push(end);
        Recorder { ring, dropped: self.dropped.clone(), moment: (Instant::now(), now()) }
    }

    /// How many found no room since the start, for everybody who drops some.
    pub(super) const fn dropped(&self) -> &Arc<AtomicU64> {
        &self.dropped
    }

    /// Takes what is there; how many there were. What comes meanwhile is for the next time.
    pub fn drain(&mut self, mut take: impl FnMut(Record)) -> usize {
        let mut taken = 0;
        for ring in &mut self.rings {
            let Ok(chunk) = ring.read_chunk(ring.slots()) else { continue };
            taken += chunk.len();
            chunk.into_iter().for_each(&mut take);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::state::tests::{record, track};

    #[test]
    fn records_come_in_order_and_what_finds_no_room_is_counted() {
        let track = track(|_| ());
        let mut records = Records::default();
        let mut ends = [records.recorder(), records.recorder()];
        let mut seen = Vec::new();
        for round in 0..3 {
            for n in 0..1000 {
                ends.iter_mut().for_each(|end| end.record(record(&track, n, round * 1000 + n)));
            }
            assert_eq!(records.drain(|record| seen.push(record.at)), 2000);
        }
        assert!(seen.chunks(1000).all(|one| one.is_sorted()));
        assert_eq!((seen.len(), records.drain(|_| ())), (6000, 0));
        // Nobody looks.
        (0..RING as u64 + 7).for_each(|n| ends[0].record(record(&track, n, n)));
        assert_eq!(records.dropped().load(Relaxed), 7);
        assert_eq!(records.drain(|_| ()), RING);
    }
}
