//! What workers show the monitor of each prediction: its features and what was predicted, as words in a ring.
//!
//! A ring belongs to one thread that answers and to the monitor. Writing copies words into memory that is there; where
//! there is no room, the rows are dropped and counted. Nothing waits and nothing is allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::model::{Signature, TensorSpec};
use crate::serving::watch::Watch;
use crate::tensor::Tensor;

/// Words of a ring: half a MiB.
const RING: usize = 128 << 10;
/// Words before those of the rows: who predicted, how many rows there are, and how many words each has.
const HEAD: usize = 3;
/// Rows of one request that are shown, from the first on.
const MAX_ROWS: usize = 64;

/// The end of a ring that a thread which answers has.
pub struct Tap {
    ring: Producer<u32>,
    rows: Vec<u32>,
    dropped: Arc<AtomicU64>,
}

/// The monitor's ends of all rings.
#[derive(Default)]
pub struct Taps {
    rings: Vec<Consumer<u32>>,
    words: Vec<u32>,
    dropped: Arc<AtomicU64>,
}

// === impl Tap ===

impl Tap {
    /// Shows what was predicted, where the monitor wants to see it: the output at `prediction` of a signature.
    #[inline]
    pub fn offer(
        &mut self,
        watch: &Watch,
        (signature, prediction): (&Signature, usize),
        inputs: &[Tensor],
        outputs: &[Tensor],
    ) {
        if watch.wants()
            && let (Some(output), Some(spec)) = (outputs.get(prediction), signature.outputs.get(prediction))
        {
            self.show(watch, inputs, output, spec);
        }
    }

    fn show(&mut self, watch: &Watch, inputs: &[Tensor], output: &Tensor, spec: &TensorSpec) {
        let layout = &watch.layout;
        // Of wide rows fewer, so that several requests find room.
        let seen =
            inputs.iter().zip(&layout.widths).filter(|(_, width)| **width > 0).map(|(input, _)| input.rows());
        let rows = seen.fold(output.rows().min(MAX_ROWS), usize::min).min(RING / 4 / layout.words());
        self.rows.clear();
        self.rows.extend([watch.id, rows as u32, layout.words() as u32]);
        for row in 0..rows {
            layout.push_row(&mut self.rows, inputs, (output, spec), row);
        }
        // Inputs of another width than they declare are not looked at.
        if self.rows.len() == HEAD + rows * layout.words() {
            self.write(rows);
        }
    }

    #[inline]
    fn write(&mut self, rows: usize) {
        let Ok(mut chunk) = self.ring.write_chunk(self.rows.len()) else {
            self.dropped.fetch_add(rows as u64, Relaxed);
            return;
        };
        let (first, second) = chunk.as_mut_slices();
        let (head, tail) = self.rows.split_at(first.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        chunk.commit_all();
    }
}

// === impl Taps ===

impl Taps {
    /// A ring for one more thread.
    pub fn tap(&mut self) -> Tap {
        let (ring, end) = RingBuffer::new(RING);
        self.rings.push(end);
        Tap { ring, rows: Vec::new(), dropped: self.dropped.clone() }
    }

    /// Rows that found no room, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Takes what is there, row by row, with the id of the version that predicted it. What comes meanwhile is for the
    /// next time.
    pub fn drain(&mut self, mut take: impl FnMut(u32, &[u32])) {
        for ring in &mut self.rings {
            let Ok(chunk) = ring.read_chunk(ring.slots()) else { continue };
            let (first, second) = chunk.as_slices();
            self.words.clear();
            self.words.extend_from_slice(first);
            self.words.extend_from_slice(second);
            chunk.commit_all();
            let mut rest = self.words.as_slice();
            while let [id, rows, words, after @ ..] = rest {
                // Requests are written whole.
                let (own, others) = after.split_at((*rows as usize * *words as usize).min(after.len()));
                own.chunks_exact((*words as usize).max(1)).for_each(|row| take(*id, row));
                rest = others;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(tap: &mut Tap, words: &[u32]) {
        tap.rows.clear();
        tap.rows.extend_from_slice(words);
        tap.write(1);
    }

    #[test]
    fn rows_come_whole_and_what_finds_no_room_is_counted() {
        let mut taps = Taps::default();
        let (mut one, mut other) = (taps.tap(), taps.tap());
        let mut seen = Vec::new();
        for round in 0..20_000_u32 {
            write(&mut one, &[7, 2, 3, round, 1, 2, round, 3, 4]);
            write(&mut other, &[8, 1, 1, round]);
            if round % 500 == 499 {
                taps.drain(|id, row| seen.push((id, row.to_vec())));
            }
        }
        assert_eq!((seen.len(), taps.dropped()), (60_000, 0));
        let of = |id| seen.iter().filter(move |(of, _)| *of == id).map(|(_, row)| row);
        assert!(of(7).enumerate().all(|(at, row)| row.len() == 3 && row[0] == at as u32 / 2));
        assert!(of(8).enumerate().all(|(at, row)| *row == [at as u32]));
        // Nobody looks.
        (0..RING).for_each(|_| write(&mut one, &[7, 1, 1, 9]));
        assert_eq!(taps.dropped(), (RING - RING / 4) as u64);
    }
}
