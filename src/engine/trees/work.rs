//! What one calling thread keeps between runs.

use super::forest::MAX_COLUMNS;
use super::real::Real;
use super::walk::Row;

/// Buffers of one calling thread.
#[derive(Default)]
pub(super) struct Work {
    single: Walk<f32>,
    double: Walk<f64>,
}

/// Buffers for walking the trees of one number type.
pub(super) struct Walk<T: Real> {
    /// As long as [`Row`]; made when first needed, and only as far in memory as a model has columns.
    row: Vec<T::Key>,
    /// Scores of one row.
    scores: Vec<T>,
    /// Whether a leaf gave that score.
    scored: Vec<bool>,
}

impl<T: Real> Default for Walk<T> {
    fn default() -> Self {
        Self { row: Vec::new(), scores: Vec::new(), scored: Vec::new() }
    }
}

impl<T: Real> Walk<T> {
    /// The row, the scores, and which of them were given.
    pub(super) fn split(&mut self) -> (&mut Row<T::Key>, &mut Vec<T>, &mut Vec<bool>) {
        if self.row.len() != MAX_COLUMNS {
            self.row = vec![T::Key::default(); MAX_COLUMNS];
        }
        let Ok(row) = self.row.as_mut_slice().try_into() else { unreachable!("made with this length") };
        (row, &mut self.scores, &mut self.scored)
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
