//! A forest ready to be walked, in the form that this processor walks fastest.

use super::forest::{Column, Forest};
use super::packed::Packed;
use super::plain::{self, Plain};
use super::real::Real;
use crate::native::simd::{self, Avx512};

/// So many trees are looked at together; each such group is laid out alike.
pub(super) const GROUP: usize = 2 * simd::SPLIT_PAIRS;
/// Runs longer than this would not stay in a first-level cache while rows pass.
const RUN_BYTES: usize = 16 << 10;

/// Consecutive trees that are walked the same way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// Of [`Plain`]: full trees of `levels` splits, `2^levels` places each of `fulls` (the first is not used)
    /// and of `leaves`.
    Full { levels: u32, trees: usize, nodes: usize, leaves: usize },
    /// Of [`Plain`]: trees of `roots` that reach their leaf after `levels` splits or sooner.
    Linked { levels: u32, trees: usize, first: usize },
    /// The same, with splits by category among the others.
    Mixed { trees: usize, first: usize },
    /// Of [`Packed`]: pairs of small trees.
    Pairs { trees: usize, first: usize },
    /// Of [`Packed`]: pairs of trees with a split at each way out.
    Forks { trees: usize, first: usize },
    /// Of [`Packed`]: trees split into parts, whose upper parts are pairs.
    Split { trees: usize, first: usize },
}

/// A forest in the form that is walked.
#[derive(Debug)]
pub(super) struct Layout<T: Real> {
    /// What a row is prepared to; column 0 reads nothing.
    pub(super) columns: Vec<Column>,
    /// In the order of the trees.
    pub(super) runs: Vec<Run>,
    pub(super) plain: Plain<T>,
    pub(super) packed: Option<Packed<T>>,
    pub(super) trees: usize,
    /// How wide a row must be.
    pub(super) width: usize,
}

impl<T: Real> Layout<T> {
    /// Lays out a forest for the processor that this runs on.
    pub(super) fn new(forest: Forest<T>) -> Self {
        let (trees, width) = (forest.roots.len(), forest.width());
        let packed = instructions().and_then(|simd| Packed::new(&forest, simd));
        let ((plain, runs), packed) = match packed {
            Some((packed, runs)) => ((Plain::empty(), runs), Some(packed)),
            None => {
                let (plain, runs) = Plain::new(&forest);
                ((Plain { sets: forest.sets, ..plain }, runs), None)
            }
        };
        Self { runs: merge::<T>(runs), plain, packed, trees, width, columns: forest.columns }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let packed = self.packed.as_ref().map_or(0, Packed::bytes);
        size_of_val(&*self.columns) + self.plain.bytes() + packed
    }
}

/// The instructions to make use of.
fn instructions() -> Option<Avx512> {
    #[cfg(test)]
    if super::tests::PLAIN.get() {
        return None;
    }
    Avx512::detect()
}

/// Joins neighbours that are walked alike, within [`RUN_BYTES`].
fn merge<T: Real>(runs: Vec<Run>) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        let joined = out.last_mut().is_some_and(|last| last.join::<T>(run));
        if !joined {
            out.push(run);
        }
    }
    out
}

impl Run {
    /// How many trees it has.
    pub(super) const fn trees(&self) -> usize {
        match *self {
            Self::Full { trees, .. }
            | Self::Linked { trees, .. }
            | Self::Mixed { trees, .. }
            | Self::Pairs { trees, .. }
            | Self::Forks { trees, .. }
            | Self::Split { trees, .. } => trees,
        }
    }

    /// Takes in the run that follows, if it is of the same kind and there is room.
    fn join<T: Real>(&mut self, next: Self) -> bool {
        let fits = |trees: usize, bytes: usize| trees * bytes <= RUN_BYTES;
        match (self, next) {
            (Self::Full { levels, trees, .. }, Self::Full { levels: same, trees: more, .. })
                if *levels == same
                    && fits(*trees + more, (size_of::<plain::Full<T::Key>>() + size_of::<T>()) << same) =>
            {
                *trees += more;
            }
            // A pair that lacks its second tree is the last of a run.
            (Self::Pairs { trees, .. }, Self::Pairs { trees: more, .. })
                if *trees % 2 == 0 && fits(*trees + more, size_of::<simd::Pair<T>>() / 2) =>
            {
                *trees += more;
            }
            (Self::Forks { trees, .. }, Self::Forks { trees: more, .. })
                if *trees % 2 == 0 && fits(*trees + more, size_of::<simd::Fork<T>>() / 2) =>
            {
                *trees += more;
            }
            _ => return false,
        }
        true
    }
}
