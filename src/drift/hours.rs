//! What the same hour of last week was like, for what follows the clock.

use super::reference::{Reference, Shape};
use super::window::Counts;

/// Hours of a week.
const HOURS: usize = 168;

/// Rows by hour of the week, counted into the cells of one reference: of this week so far and, where it is not over yet, of
/// the week before.
#[derive(Debug)]
pub struct Hours {
    /// By hour: the week that it is of, and what came.
    known: Vec<Option<(u64, Counts)>>,
    /// The hour that is being counted, since 1970.
    open: Option<(u64, Counts)>,
}

// === impl Hours ===

impl Default for Hours {
    fn default() -> Self {
        Self { known: (0..HOURS).map(|_| None).collect(), open: None }
    }
}

impl Hours {
    /// Takes what came in an hour, counted since 1970.
    pub fn take(&mut self, hour: u64, counts: &Counts) {
        match &mut self.open {
            Some((open, known)) if *open == hour => known.merge(counts),
            open => {
                // An hour replaces that of last week when it is over, so that it is not held against itself.
                if let Some((before, over)) = open.replace((hour, counts.clone())) {
                    self.known[place(before)] = Some((before / HOURS as u64, over));
                }
            }
        }
    }

    /// The reference with what it had in the same hour of last week in its cells; none where that is not known.
    pub fn reference(&self, hour: u64, learned: &Reference) -> Option<Reference> {
        let (week, counts) = self.known[place(hour)].as_ref()?;
        if *week + 1 != hour / HOURS as u64 {
            return None;
        }
        let mut reference = learned.clone();
        reference.rows = counts.rows;
        let own = counts.features(learned);
        // The mean stays: sums of windows are less that of what was learned.
        for (profile, (cells, _)) in reference.features.iter_mut().zip(own) {
            profile.missing = u64::from(cells[0]);
            let (Shape::Number { counts, .. } | Shape::Category { counts, .. }) = &mut profile.shape;
            counts.iter_mut().zip(&cells[1..]).for_each(|(count, now)| *count = u64::from(*now));
        }
        Some(reference)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.known.iter().flatten().chain(&self.open).map(|(_, counts)| counts.bytes()).sum()
    }
}

const fn place(hour: u64) -> usize {
    (hour % HOURS as u64) as usize
}
