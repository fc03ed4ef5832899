//! How a feature's values are distributed, in bounded memory and exact where there are few.

/// Entries that a sketch comes down to: 16 to each of 255 bins.
const CAPACITY: usize = 4096;

/// A value, or neighbours that were put together. Entries do not overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) count: u64,
}

/// Values seen so far, in ascending order; a frequent value is an entry of its own.
#[derive(Default)]
pub(crate) struct Sketch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) count: u64,
    pub(crate) missing: u64,
}

impl Entry {
    /// Takes off what lies below a value, as if its values were spread evenly; counted as a whole, they would shift the
    /// ranks of all that is inserted.
    fn cut(&mut self, value: f32) -> Option<Self> {
        let share = (f64::from(value) - f64::from(self.low)) / (f64::from(self.high) - f64::from(self.low));
        let count = (self.count as f64 * share).round() as u64;
        let below = Self { low: self.low, high: value.next_down(), count };
        self.low = value.next_up();
        self.count -= count;
        (count > 0).then_some(below)
    }
}

impl Sketch {
    /// Takes in values, which are gone afterwards.
    pub(crate) fn absorb(&mut self, values: &mut Vec<f32>) {
        let all = values.len();
        values.retain(|value| !value.is_nan());
        self.missing += (all - values.len()) as u64;
        self.count += values.len() as u64;
        values.sort_unstable_by(f32::total_cmp);
        let old = std::mem::take(&mut self.entries);
        self.entries.reserve(old.len() + values.len().min(CAPACITY));
        let mut old = old.into_iter().peekable();
        // Both zeros are one value: comparisons do not tell them apart.
        for run in values.chunk_by(|a, b| a == b) {
            let (value, mut count) = (run[0] + 0.0, run.len() as u64);
            while let Some(entry) = old.next_if(|entry| entry.high <= value) {
                if entry.low == value {
                    count += entry.count;
                } else {
                    self.entries.push(entry);
                }
            }
            if let Some(around) = old.peek_mut().filter(|entry| entry.low <= value) {
                self.entries.extend(around.cut(value));
            }
            self.entries.push(Entry { low: value, high: value, count });
        }
        self.entries.extend(old);
        values.clear();
        if self.entries.len() > 2 * CAPACITY {
            self.compress();
        }
    }

    /// Puts neighbours together that are light together; so at most `CAPACITY` remain, and no rank is off by more than
    /// what such a group may weigh.
    fn compress(&mut self) {
        let limit = 2 * self.count / CAPACITY as u64;
        self.entries.dedup_by(|next, kept| {
            let light = kept.count + next.count <= limit;
            if light {
                *kept =
                    Entry { low: kept.low.min(next.low), high: next.high, count: kept.count + next.count };
            }
            light
        });
    }
}
