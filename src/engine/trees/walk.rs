//! The hot loops: from a row to the leaf of every tree.
//!
//! A walk is a chain of loads, each waiting for the one before, so several are under way at once: of one row
//! through [`GROUP`] trees, or of [`LANES`] rows through one tree. No step branches on data; a tree's leaves
//! are reported in the order of the trees, so that sums come out the same for one row and for many.

use super::forest::MAX_COLUMNS;
use super::layout::{Full, GROUP, Layout, Linked, Run};
use super::real::{Key, Real};

/// Rows walked at once.
pub(super) const LANES: usize = 8;
/// Beyond so many levels a walk looks whether all leaves are reached, after every [`CHECKED`] levels.
const UNCHECKED: u32 = 10;
const CHECKED: u32 = 4;

/// One row's prepared columns. The length is fixed so that no step checks a bound.
pub(super) type Row<K> = [K; MAX_COLUMNS];
/// The same for [`LANES`] rows, column by column.
pub(super) type Block<K> = Vec<[K; LANES]>;

impl<T: Real> Layout<T> {
    /// Prepares the columns of one row; `feature` reads it.
    #[inline]
    pub(super) fn prepare(&self, row: &mut Row<T::Key>, feature: impl Fn(usize) -> T) {
        for ((out, number), missing) in row.iter_mut().zip(&self.features).zip(&self.missing) {
            *out = key(feature(*number as usize), *missing);
        }
        row[0] = T::Key::LEAST;
    }

    /// Prepares the columns of up to [`LANES`] rows; `feature` reads a row.
    #[inline]
    pub(super) fn prepare_block(&self, block: &mut Block<T::Key>, feature: impl Fn(usize, usize) -> T) {
        for ((out, number), missing) in block.iter_mut().zip(&self.features).zip(&self.missing) {
            let values: [T; LANES] = std::array::from_fn(|lane| feature(lane, *number as usize));
            *out = values.map(|value| key(value, *missing));
        }
        block[0] = [T::Key::LEAST; LANES];
    }

    /// Calls `leaf` with each tree's number and leaf value.
    #[inline]
    pub(super) fn walk_row(&self, row: &Row<T::Key>, mut leaf: impl FnMut(usize, T)) {
        let mut tree = 0;
        for run in &self.runs {
            match *run {
                Run::Full { levels, trees, nodes, leaves } => {
                    let (nodes, leaves) = (&self.fulls[nodes..], &self.leaves[leaves..]);
                    macro_rules! levels {
                        ($($levels:literal)*) => {
                            match levels {
                                $($levels => full_row::<T, $levels, { 1 << $levels }>(nodes, leaves, trees, row, tree, &mut leaf),)*
                                _ => {}
                            }
                        };
                    }
                    levels!(1 2 3 4 5 6 7 8);
                    tree += trees;
                }
                Run::Linked { levels, trees, first } => {
                    for roots in self.roots[first..first + trees].chunks(GROUP) {
                        let leaves = linked_row(&self.linked, roots, levels, row);
                        for value in &leaves[..roots.len()] {
                            leaf(tree, *value);
                            tree += 1;
                        }
                    }
                }
            }
        }
    }

    /// Calls `leaf` with each tree's number, the number of a block, and the leaf values of its rows.
    #[inline]
    pub(super) fn walk_blocks(&self, blocks: &[Block<T::Key>], mut leaf: impl FnMut(usize, usize, &[T; LANES])) {
        let mut tree = 0;
        for run in &self.runs {
            match *run {
                Run::Full { levels, trees, nodes, leaves } => {
                    let (nodes, leaves) = (&self.fulls[nodes..], &self.leaves[leaves..]);
                    macro_rules! levels {
                        ($($levels:literal)*) => {
                            match levels {
                                $($levels => full_blocks::<T, $levels, { 1 << $levels }>(nodes, leaves, trees, blocks, tree, &mut leaf),)*
                                _ => {}
                            }
                        };
                    }
                    levels!(1 2 3 4 5 6 7 8);
                    tree += trees;
                }
                Run::Linked { levels, trees, first } => {
                    for &root in &self.roots[first..first + trees] {
                        for (number, block) in blocks.iter().enumerate() {
                            leaf(tree, number, &linked_block(&self.linked, root, levels, block));
                        }
                        tree += 1;
                    }
                }
            }
        }
    }
}

#[inline]
fn key<T: Real>(value: T, missing: T::Key) -> T::Key {
    let key = value.key();
    if value.is_nan() { missing } else { key }
}

/// `PLACES` is two to the power of `LEVELS`: with both known, no index needs a check.
#[inline]
fn full_row<T: Real, const LEVELS: u32, const PLACES: usize>(
    nodes: &[Full<T::Key>],
    leaves: &[T],
    trees: usize,
    row: &Row<T::Key>,
    first: usize,
    leaf: &mut impl FnMut(usize, T),
) {
    let nodes = &nodes.as_chunks::<PLACES>().0[..trees];
    let leaves = &leaves.as_chunks::<PLACES>().0[..trees];
    for (number, (nodes, leaves)) in nodes.chunks(GROUP).zip(leaves.chunks(GROUP)).enumerate() {
        let first = first + number * GROUP;
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
            for (tree, (at, leaves)) in at.iter().zip(leaves).enumerate() {
                leaf(first + tree, leaves[*at & (PLACES - 1)]);
            }
        } else {
            for (tree, (nodes, leaves)) in nodes.iter().zip(leaves).enumerate() {
                let mut at = 1;
                for _ in 0..LEVELS {
                    let node = &nodes[at & (PLACES - 1)];
                    at = 2 * at + usize::from(row[usize::from(node.column)] > node.threshold);
                }
                leaf(first + tree, leaves[at & (PLACES - 1)]);
            }
        }
    }
}

#[inline]
fn full_blocks<T: Real, const LEVELS: u32, const PLACES: usize>(
    nodes: &[Full<T::Key>],
    leaves: &[T],
    trees: usize,
    blocks: &[Block<T::Key>],
    first: usize,
    leaf: &mut impl FnMut(usize, usize, &[T; LANES]),
) {
    let trees = nodes.as_chunks::<PLACES>().0.iter().zip(leaves.as_chunks::<PLACES>().0).take(trees);
    for (tree, (nodes, leaves)) in trees.enumerate() {
        for (number, block) in blocks.iter().enumerate() {
            let mut at = [1; LANES];
            for _ in 0..LEVELS {
                for (lane, at) in at.iter_mut().enumerate() {
                    let node = &nodes[*at & (PLACES - 1)];
                    *at = 2 * *at + usize::from(block[usize::from(node.column)][lane] > node.threshold);
                }
            }
            leaf(first + tree, number, &at.map(|at| leaves[at & (PLACES - 1)]));
        }
    }
}

fn linked_row<T: Real>(nodes: &[Linked<T::Key>], roots: &[u32], levels: u32, row: &Row<T::Key>) -> [T; GROUP] {
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

fn linked_block<T: Real>(nodes: &[Linked<T::Key>], root: u32, levels: u32, block: &Block<T::Key>) -> [T; LANES] {
    let mut at = [root; LANES];
    steps(levels, |count| {
        let mut moving = 0;
        for _ in 0..count {
            moving = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                let node = &nodes[*at as usize];
                moving |= node.column;
                *at = node.left + u32::from(block[usize::from(node.column)][lane] > node.threshold);
            }
        }
        moving != 0
    });
    at.map(|at| T::of_bits(nodes[at as usize].threshold))
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

#[cfg(test)]
mod bench {
    use super::*;
    use super::super::forest::{Forest, Mode, Raw};
    use std::time::Instant;
    fn forest(trees: usize, depth: u32, features: u32, keep: f64) -> Forest<f32> {
        let mut seed = 88172645463325252u64;
        let mut rnd = move || { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; (seed >> 11) as f64 / (1u64 << 53) as f64 };
        let mut raw = Vec::new();
        let mut roots = Vec::new();
        fn grow(raw: &mut Vec<Raw<f32>>, d: u32, features: u32, keep: f64, rnd: &mut dyn FnMut() -> f64) -> u32 {
            let at = raw.len();
            raw.push(Raw::Leaf((rnd() - 0.5) as f32));
            if d > 0 && (d > 3 || rnd() < keep) {
                let feature = (rnd() * features as f64) as u32;
                let value = rnd() as f32;
                let missing = rnd() < 0.5;
                let yes = grow(raw, d - 1, features, keep, rnd);
                let no = grow(raw, d - 1, features, keep, rnd);
                raw[at] = Raw::Branch { feature, mode: Mode::Lt, value, missing, yes, no };
            }
            at as u32
        }
        for _ in 0..trees { roots.push(grow(&mut raw, depth, features, keep, &mut rnd)); }
        Forest::new(&raw, roots).unwrap()
    }
    fn min_ns(mut f: impl FnMut()) -> f64 {
        let t = Instant::now(); f(); f(); let once = t.elapsed().as_nanos() as f64 / 2.0;
        let inner = (50_000.0 / once).clamp(1.0, 200.0) as usize;
        let mut best = f64::MAX;
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < 1.0 { let t = Instant::now(); for _ in 0..inner { f(); } best = best.min(t.elapsed().as_nanos() as f64 / inner as f64); }
        best
    }
    #[test]
    #[ignore]
    fn walk() {
        for (trees, depth, keep, what) in [(16, 6, 1.0, "16 full d6"), (24, 6, 1.0, "24 full d6"), (48, 6, 1.0, "48 full d6"), (100, 6, 1.0, "full d6"), (100, 6, 0.8, "part d6"), (100, 12, 0.55, "deep d12"), (500,6,1.0,"500 full d6")] {
            let forest = forest(trees, depth, 28, keep);
            let layout = Layout::new(&forest);
            let mut seed = 1u64;
            let data: Vec<f32> = (0..28 * 4096).map(|_| { seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (seed >> 40) as f32 / (1 << 24) as f32 }).collect();
            let mut buf = vec![0i32; MAX_COLUMNS];
            let row: &mut Row<i32> = buf.first_chunk_mut().unwrap();
            let mut r = 0;
            let one = min_ns(|| { r = (r + 1) % 4096; let x = &data[r * 28..][..28]; layout.prepare(row, |f| x[f]); let mut s = 0.0; layout.walk_row(row, |_, v| s += v); std::hint::black_box(s); });
            let prep = min_ns(|| { r = (r + 1) % 4096; let x = &data[r * 28..][..28]; layout.prepare(row, |f| x[f]); std::hint::black_box(&row[..64]); });
            let mut blocks: Vec<Vec<[i32; LANES]>> = vec![vec![[0i32; LANES]; layout.features.len()]; 64 / LANES];
            let mut q = 0;
            let many = min_ns(|| { q = (q + 1) % 64; let x = &data[q * 64 * 28..][..64 * 28];
              for (b, block) in blocks.iter_mut().enumerate() { layout.prepare_block(block, |lane, f| x[(b * LANES + lane) * 28 + f]); }
              let mut s = [[0f32; LANES]; 64 / LANES];
              layout.walk_blocks(&blocks, |_, b, v| for l in 0..LANES { s[b][l] += v[l] });
              std::hint::black_box(&s); });
            println!("{what}: runs {:?} columns {} fulls {} linked {}: one {one:.0} ns (prep {prep:.0}), 64 {many:.0} ns", layout.runs.len(), layout.features.len(), layout.fulls.len(), layout.linked.len());
        }
    }
}
