//! One measured thing, by bucket of units.

use crate::stats::Joint;

/// Buckets of units.
pub const BUCKETS: usize = 4096;

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// What the sum is taken over: requests, rows or units.
    pub weight: f64,
    /// The sum.
    pub sum: f64,
}

/// A cell per bucket; no memory before something is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(Vec<Cell>);

/// The bucket of a unit's hash.
#[inline]
pub const fn bucket(unit: u64) -> usize {
    (unit >> (64 - BUCKETS.trailing_zeros())) as usize
}

// === impl Series ===

impl Series {
    /// Adds to a bucket.
    #[inline]
    pub fn add(&mut self, bucket: usize, cell: Cell) {
        if self.0.is_empty() {
            self.0.resize(BUCKETS, Cell::default());
        }
        let known = &mut self.0[bucket];
        known.weight += cell.weight;
        known.sum += cell.sum;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (known, more) in self.0.iter_mut().zip(&other.0) {
            known.weight += more.weight;
            known.sum += more.sum;
        }
    }

    /// Buckets with something in them.
    pub fn filled(&self) -> impl Iterator<Item = (usize, Cell)> {
        let empty = Cell::default();
        self.0.iter().copied().enumerate().filter(move |(_, cell)| *cell != empty)
    }

    /// Every bucket.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        let rest = BUCKETS - self.0.len();
        self.0.iter().copied().chain(std::iter::repeat_n(Cell::default(), rest))
    }

    /// All buckets together.
    pub fn total(&self) -> Cell {
        self.0.iter().fold(Cell::default(), |total, cell| Cell {
            weight: total.weight + cell.weight,
            sum: total.sum + cell.sum,
        })
    }

    /// Pairs of sum and weight, one per bucket, as a sample of [`BUCKETS`].
    pub fn joint(&self) -> Joint {
        self.cells().map(|cell| (cell.sum, cell.weight)).collect()
    }
}
