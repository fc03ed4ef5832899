//! How rows are spread over time, in bounded memory.

use std::collections::BTreeMap;

use datafusion::arrow::array::Array;

use crate::data::cells::Cells;

/// Buckets kept at most; the width doubles when there are more.
const MOST: usize = 1 << 15;

/// Counts of rows by date.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Milliseconds in a bucket.
    width: i64,
    counts: BTreeMap<i64, u64>,
    rows: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { width: 1, counts: BTreeMap::new(), rows: 0 }
    }
}

impl Moments {
    pub(crate) fn add(&mut self, instant: i64) {
        *self.counts.entry(instant.div_euclid(self.width)).or_default() += 1;
        self.rows += 1;
        while self.counts.len() > MOST {
            self.width = self.width.saturating_mul(2);
            let mut wider = BTreeMap::new();
            for (bucket, count) in &self.counts {
                *wider.entry(bucket.div_euclid(2)).or_default() += count;
            }
            self.counts = wider;
        }
    }

    pub(crate) fn add_cell(&mut self, cells: &Cells, row: usize) {
        if let Cells::Times(times) = cells
            && times.is_valid(row)
        {
            self.add(times.value(row));
        }
    }

    /// An instant before which about this share of the rows lies.
    pub(crate) fn cut(&self, share: f64) -> i64 {
        let wanted = (share * self.rows as f64).round();
        let mut before = 0;
        for (bucket, count) in &self.counts {
            if before as f64 >= wanted {
                return bucket.saturating_mul(self.width);
            }
            before += count;
        }
        i64::MAX
    }
}
