//! What the same hour of last week was like, for what follows the clock.

use super::reference::{Reference, Shape};
use super::window::Counts;

/// Hours of a week.
const HOURS: usize = 168;

/// Rows by hour of the week, counted into the cells of one reference: of this week so far and, where it is not over yet, of
/// the week before.
#[derive(Debug)]
pub struct Hours(Vec<Option<Hour>>);

#[derive(Debug)]
struct Hour {
    week: u64,
    rows: u64,
    cells: Box<[u32]>,
}

// === impl Hours ===

impl Default for Hours {
    fn default() -> Self {
        Self((0..HOURS).map(|_| None).collect())
    }
}

impl Hours {
    /// Keeps what came in an hour, counted since 1970, in place of what came a week before.
    pub fn put(&mut self, hour: u64, counts: &Counts) {
        let (week, place) = split(hour);
        self.0[place] = Some(Hour { week, rows: counts.rows, cells: counts.cells().into() });
    }

    /// The reference with what it had in the same hour of last week in its cells; none where that is not known.
    pub fn reference(&self, hour: u64, learned: &Reference) -> Option<Reference> {
        let (week, place) = split(hour);
        let known = self.0[place].as_ref().filter(|known| known.week + 1 == week)?;
        let mut reference = learned.clone();
        reference.rows = known.rows;
        let mut cells = known.cells.iter().map(|count| u64::from(*count));
        // The mean stays: sums of windows are less that of what was learned.
        for profile in &mut reference.features {
            profile.missing = cells.next()?;
            let (Shape::Number { counts, .. } | Shape::Category { counts, .. }) = &mut profile.shape;
            counts.iter_mut().zip(&mut cells).for_each(|(count, now)| *count = now);
        }
        Some(reference)
    }

    /// Bytes that it takes when every hour of a week is known.
    pub const fn bytes(reference_cells: usize) -> usize {
        HOURS * (reference_cells * size_of::<u32>() + size_of::<Option<Hour>>())
    }
}

const fn split(hour: u64) -> (u64, usize) {
    (hour / HOURS as u64, (hour % HOURS as u64) as usize)
}
