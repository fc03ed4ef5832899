//! What one calling thread keeps between runs.

use super::forest::{MAX_COLUMNS, Reading};
use super::layout::Layout;
use super::real::Real;
use super::walk::{Row, category, key};
use crate::native::simd::{Bytes, MAX_BYTE_COLUMNS};

/// The most rows that go through a run of trees before the next run.
const MAX_ROWS: usize = 64;
/// Keys and scores of the rows that are under way may take about so many numbers each, to stay in the cache.
const MAX_NUMBERS: usize = 4096;

/// Buffers of one calling thread.
#[derive(Default)]
pub(super) struct Work {
    single: Walk<f32>,
    double: Walk<f64>,
}

/// Buffers for walking the trees of one number type with several rows at a time.
pub(super) struct Walk<T: Real> {
    /// Prepared columns, row by row, with room behind for the last to be seen as a [`Row`]: only as far in
    /// memory as a model has columns.
    keys: Vec<T::Key>,
    /// The same as bytes, for trees that have that form.
    bytes: Vec<Bytes>,
    /// And their categories, row by row.
    categories: Vec<u32>,
    /// Scores, row by row.
    pub(super) scores: Vec<T>,
    /// Whether a leaf gave that score.
    pub(super) scored: Vec<bool>,
}

impl<T: Real> Default for Walk<T> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            bytes: Vec::new(),
            categories: Vec::new(),
            scores: Vec::new(),
            scored: Vec::new(),
        }
    }
}

impl<T: Real> Walk<T> {
    /// Makes room; gives how many rows there are room for.
    pub(super) fn reserve(&mut self, layout: &Layout<T>, targets: usize, rows: usize) -> usize {
        let columns = layout.columns.len();
        let rows = rows.min(MAX_ROWS).min(MAX_NUMBERS / columns.max(targets)).max(1);
        let keys = if layout.packed.is_some() { 0 } else { (rows - 1) * columns } + MAX_COLUMNS;
        if self.keys.len() < keys {
            self.keys = vec![T::Key::default(); keys];
        }
        let bytes = if layout.packed.is_some() { rows } else { 1 };
        let slots = layout.packed.as_ref().map_or(0, |packed| packed.slots.len());
        self.categories.resize(self.categories.len().max(rows * slots), 0);
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, Bytes([0; MAX_BYTE_COLUMNS]));
        }
        rows
    }

    /// Prepares row number `row` of those under way; `feature` reads it.
    #[inline]
    pub(super) fn prepare(&mut self, layout: &Layout<T>, row: usize, feature: impl Fn(usize) -> T) {
        match &layout.packed {
            Some(packed) => {
                let categories = self.categories[row * packed.slots.len()..].iter_mut();
                for (out, column) in categories.zip(&packed.slots) {
                    if let Reading::Category(rounding) = column.reading {
                        *out = category(feature(column.feature as usize), rounding);
                    }
                }
                let read = |number, missing| key(feature(number), missing);
                packed.simd.reduce(&packed.thresholds, read, &mut self.bytes[row]);
            }
            None => {
                layout.prepare(&mut self.keys[row * layout.columns.len()..][..layout.columns.len()], feature)
            }
        }
    }

    /// The prepared rows, the scores, and which of them were given.
    pub(super) fn split(&mut self) -> (Rows<'_, T>, &mut Vec<T>, &mut Vec<bool>) {
        (
            Rows { keys: &self.keys, bytes: &self.bytes, categories: &self.categories },
            &mut self.scores,
            &mut self.scored,
        )
    }
}

/// The rows that are under way.
#[derive(Clone, Copy)]
pub(super) struct Rows<'w, T: Real> {
    keys: &'w [T::Key],
    bytes: &'w [Bytes],
    categories: &'w [u32],
}

/// A prepared row in the form that its trees want; the other form is anything.
#[derive(Clone, Copy)]
pub(super) struct Prepared<'w, T: Real> {
    pub(super) keys: &'w Row<T::Key>,
    pub(super) bytes: &'w Bytes,
    pub(super) categories: &'w [u32],
}

impl<'w, T: Real> Rows<'w, T> {
    #[inline]
    pub(super) fn row(self, layout: &Layout<T>, number: usize) -> Prepared<'w, T> {
        let (at, bytes, slots) = match &layout.packed {
            Some(packed) => (0, &self.bytes[number], packed.slots.len()),
            None => (number * layout.columns.len(), &self.bytes[0], 0),
        };
        let Some(keys) = self.keys[at..].first_chunk() else { unreachable!("made with room behind") };
        Prepared { keys, bytes, categories: &self.categories[number * slots..] }
    }
}

/// A number type with its own buffers.
pub(super) trait Walks: Real {
    fn walk(work: &mut Work) -> &mut Walk<Self>;
}

impl Walks for f32 {
    fn walk(work: &mut Work) -> &mut Walk<Self> {
        &mut work.single
    }
}

impl Walks for f64 {
    fn walk(work: &mut Work) -> &mut Walk<Self> {
        &mut work.double
    }
}
