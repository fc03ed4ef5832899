//! The hot loops: from a row to the leaf of every tree.
//!
//! Packed trees are not walked, but compared ([`super::packed`]). On the plain layout a walk is a chain of loads,
//! each waiting for the one before, so [`GROUP`] trees are under way at once, and no step branches on data but for
//! categories. Leaves are reported in the order of the trees, so that sums round as ONNX Runtime's.
//!
//! Walking several rows through one plain tree was measured too (100 trees of depth 6, 64 rows): no faster, since
//! the loop is bound by instructions, not by the cache.

use super::forest::{CATEGORY_OFFSET, MAX_CATEGORY, MAX_COLUMNS, Reading, Rounding, Sets};
use super::layout::{GROUP, Layout, Run};
use super::plain::{CATEGORY, Full, Linked, Plain};
use super::real::{Key, Real};
use super::work::Prepared;

/// Beyond so many levels a walk looks whether all leaves are reached, after every [`CHECKED`] levels.
const UNCHECKED: u32 = 10;
const CHECKED: u32 = 4;

/// One row's prepared columns. The length is fixed so that no step checks a bound.
pub(super) type Row<K> = [K; MAX_COLUMNS];

impl<T: Real> Layout<T> {
    /// Prepares the columns of one row; `feature` reads it.
    #[inline]
    pub(super) fn prepare(&self, row: &mut [T::Key], feature: impl Fn(usize) -> T) {
        for (out, column) in row.iter_mut().zip(&self.columns) {
            let value = feature(column.feature as usize);
            *out = match column.reading {
                Reading::Category(rounding) => T::Key::of_index(category(value, rounding)),
                reading => key(value, reading.missing()),
            };
        }
        row[0] = T::Key::LEAST;
    }

    /// Calls `leaf` with the leaf of each tree of a run, in order.
    #[inline]
    pub(super) fn walk(&self, run: &Run, row: Prepared<'_, T>, leaf: impl FnMut(T)) {
        match &self.packed {
            Some(packed) => packed.walk(run, row.bytes, row.categories, leaf),
            None => self.plain.walk(run, row.keys, leaf),
        }
    }
}

impl<T: Real> Plain<T> {
    #[inline]
    fn walk(&self, run: &Run, row: &Row<T::Key>, mut leaf: impl FnMut(T)) {
        match *run {
            Run::Full { levels, trees, nodes, leaves } => {
                let (nodes, leaves) = (&self.fulls[nodes..], &self.leaves[leaves..]);
                macro_rules! levels {
                    ($($levels:literal)*) => {
                        match levels {
                            $($levels => full_row::<T, $levels, { 1 << $levels }>(nodes, leaves, trees, row, &mut leaf),)*
                            _ => {}
                        }
                    };
                }
                levels!(1 2 3 4 5 6 7 8);
            }
            Run::Linked { levels, trees, first } => {
                for roots in self.roots[first..first + trees].chunks(GROUP) {
                    let leaves = linked_row(&self.linked, roots, levels, row);
                    leaves[..roots.len()].iter().for_each(|value| leaf(*value));
                }
            }
            Run::Mixed { trees, first } => {
                for root in &self.roots[first..first + trees] {
                    leaf(mixed_row(&self.linked, &self.sets, *root, row));
                }
            }
            Run::Pairs { .. } | Run::Forks { .. } | Run::Split { .. } => {}
        }
    }
}

#[inline]
pub(super) fn key<T: Real>(value: T, missing: T::Key) -> T::Key {
    let key = value.key();
    if value.is_nan() { missing } else { key }
}

/// The bit that stands for a value in [`Sets`].
pub(super) fn category<T: Real>(value: T, rounding: Rounding) -> u32 {
    if value.is_nan() {
        return 0;
    }
    let category = match rounding {
        Rounding::Truncate => value.f64().trunc(),
        Rounding::Floor => value.f64().floor(),
        Rounding::Exact if value.f64().fract() == 0.0 => value.f64(),
        Rounding::Exact => return 1,
    };
    // The cast keeps what is too large at the end; what is negative is no category.
    if category < 0.0 { 1 } else { (category as u32).min(MAX_CATEGORY) + CATEGORY_OFFSET }
}

/// `PLACES` is two to the power of `LEVELS`: with both known, no index needs a check.
#[inline]
fn full_row<T: Real, const LEVELS: u32, const PLACES: usize>(
    nodes: &[Full<T::Key>],
    leaves: &[T],
    trees: usize,
    row: &Row<T::Key>,
    leaf: &mut impl FnMut(T),
) {
    let nodes = &nodes.as_chunks::<PLACES>().0[..trees];
    let leaves = &leaves.as_chunks::<PLACES>().0[..trees];
    for (nodes, leaves) in nodes.chunks(GROUP).zip(leaves.chunks(GROUP)) {
        if let (Ok(nodes), Ok(leaves)) =
            (<&[[Full<T::Key>; PLACES]; GROUP]>::try_from(nodes), <&[[T; PLACES]; GROUP]>::try_from(leaves))
        {
            let mut at = [1; GROUP];
            for _ in 0..LEVELS {
                for (at, nodes) in at.iter_mut().zip(nodes) {
                    let node = &nodes[*at & (PLACES - 1)];
                    *at = 2 * *at + usize::from(row[usize::from(node.column)] > node.threshold);
                }
            }
            for (at, leaves) in at.iter().zip(leaves) {
                leaf(leaves[*at & (PLACES - 1)]);
            }
        } else {
            for (nodes, leaves) in nodes.iter().zip(leaves) {
                let mut at = 1;
                for _ in 0..LEVELS {
                    let node = &nodes[at & (PLACES - 1)];
                    at = 2 * at + usize::from(row[usize::from(node.column)] > node.threshold);
                }
                leaf(leaves[at & (PLACES - 1)]);
            }
        }
    }
}

fn linked_row<T: Real>(
    nodes: &[Linked<T::Key>],
    roots: &[u32],
    levels: u32,
    row: &Row<T::Key>,
) -> [T; GROUP] {
    // Too few roots: the last one is walked several times.
    let mut at: [u32; GROUP] = std::array::from_fn(|tree| roots[tree.min(roots.len() - 1)]);
    steps(levels, |count| {
        let mut moving = 0;
        for _ in 0..count {
            moving = 0;
            for at in &mut at {
                let node = &nodes[*at as usize];
                moving |= node.column;
                *at = node.left + u32::from(row[usize::from(node.column)] > node.threshold);
            }
        }
        moving != 0
    });
    at.map(|at| T::of_bits(nodes[at as usize].threshold))
}

/// One tree, whose steps differ by what they ask.
fn mixed_row<T: Real>(nodes: &[Linked<T::Key>], sets: &Sets, root: u32, row: &Row<T::Key>) -> T {
    let mut at = root;
    loop {
        let node = &nodes[at as usize];
        let value = row[usize::from(node.column & !CATEGORY)];
        let right = if node.column & CATEGORY == 0 {
            value > node.threshold
        } else {
            !sets.contains(node.threshold.index(), value.index())
        };
        let next = node.left + u32::from(right);
        if next == at {
            return T::of_bits(node.threshold);
        }
        at = next;
    }
}

/// Takes `levels` steps: at once when they are few, else in parts for as long as something moves.
#[inline]
fn steps(levels: u32, mut take: impl FnMut(u32) -> bool) {
    if levels <= UNCHECKED {
        take(levels);
        return;
    }
    let mut left = levels;
    while left > 0 && take(left.min(CHECKED)) {
        left = left.saturating_sub(CHECKED);
    }
}
