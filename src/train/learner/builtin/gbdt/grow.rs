//! One tree, grown leaf by leaf: always the leaf next whose split gains most.

use std::ops::Range;

use sidegate::native::prefetch;

use super::gradients::{Gradients, Sum};
use super::settings::TreeSettings;
use super::split::{Found, Search};
use crate::learner::builtin::matrix::Data;
use crate::learner::builtin::threads;
use crate::learner::builtin::tree::{Grown, Side};
use crate::table::Column;

/// Bytes of histograms that are kept to be subtracted from; beyond that they are made anew.
const KEPT: usize = 64 << 20;
/// Cells that are worth another thread.
const WORTH_A_THREAD: usize = 1 << 13;
/// Rows before one is counted that its memory is asked for.
const AHEAD: usize = 8;
/// Bins that are.
const WORTH_SEARCHING: usize = 1 << 10;

/// What trees are grown from.
pub(super) struct Grower<'a> {
    data: &'a Data,
    columns: &'a [Column],
    settings: &'a TreeSettings,
    threads: usize,
    monotone: bool,
    /// Where each feature's bins begin in a histogram.
    offsets: Vec<usize>,
    /// Bins of all features.
    bins: usize,
    /// The bins once more, feature after feature: a split reads those of one.
    by_feature: Vec<u8>,
}

/// A leaf: a range of the rows, and what is known of it.
pub(super) struct Leaf {
    pub(super) rows: Range<usize>,
    pub(super) node: usize,
    pub(super) output: f64,
    sum: Sum,
    depth: u32,
    bounds: Option<[f64; 2]>,
    sums: Option<Vec<Sum>>,
    best: Option<Found>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(
        data: &'a Data,
        columns: &'a [Column],
        settings: &'a TreeSettings,
        threads: usize,
    ) -> Self {
        let mut bins = 0;
        let offsets = data.columns.iter().map(|column| {
            bins += column.count();
            bins - column.count()
        });
        let offsets = offsets.collect();
        let monotone = columns.iter().any(|column| column.monotone != 0);
        let by_feature = data.train.by_feature(threads);
        Self { data, columns, settings, threads, monotone, offsets, bins, by_feature }
    }

    /// Grows a tree on these rows, which it sorts by leaf, and these features. Leaves have no values yet.
    pub(super) fn grow(
        &self,
        rows: &mut [u32],
        features: &[u32],
        gradients: &Gradients,
    ) -> (Vec<Grown>, Vec<Leaf>) {
        let root = self.root(rows, features, gradients);
        let (mut tree, mut leaves) = (vec![Grown::Leaf(Vec::new())], vec![root]);
        while leaves.len() < self.settings.leaves as usize {
            let gain = |leaf: &Leaf| leaf.best.map_or(f64::NEG_INFINITY, |best| best.gain);
            let at = (0..leaves.len()).reduce(|a, b| if gain(&leaves[b]) > gain(&leaves[a]) { b } else { a });
            let Some((at, found)) = at.and_then(|at| Some((at, leaves[at].best.take()?))) else { break };
            let room =
                leaves.iter().filter(|leaf| leaf.sums.is_some()).count() * self.bins * size_of::<Sum>()
                    < KEPT;
            let children = self.split(&mut leaves[at], &found, (rows, features), gradients, room);
            let first = tree.len();
            let [mut left, mut right] = children;
            (left.node, right.node) = (first, first + 1);
            tree[leaves[at].node] = Grown::Split {
                feature: found.feature,
                left: found.left,
                gain: found.gain,
                children: [first as u32, first as u32 + 1],
            };
            tree.extend([Grown::Leaf(Vec::new()), Grown::Leaf(Vec::new())]);
            leaves[at] = left;
            leaves.push(right);
        }
        (tree, leaves)
    }

    fn split(
        &self,
        leaf: &mut Leaf,
        found: &Found,
        (rows, features): (&mut [u32], &[u32]),
        gradients: &Gradients,
        room: bool,
    ) -> [Leaf; 2] {
        let own = leaf.rows.clone();
        let cut = own.start + self.part(&mut rows[own.clone()], found.feature, &found.left);
        let bounds = self.bounds(leaf, found);
        let child = |rows, output, sum, bounds| Leaf {
            rows,
            node: 0,
            output,
            sum,
            depth: leaf.depth + 1,
            bounds,
            sums: None,
            best: None,
        };
        let mut left = child(own.start..cut, found.outputs[0], found.sum, bounds[0]);
        let mut right = child(cut..own.end, found.outputs[1], leaf.sum - found.sum, bounds[1]);
        let (small, large) = if left.rows.len() <= right.rows.len() {
            (&mut left, &mut right)
        } else {
            (&mut right, &mut left)
        };
        let parent = leaf.sums.take();
        // If the larger one is hopeless, so is the smaller one.
        if self.hopeful(large, gradients) {
            let parts = |leaf: &Leaf| self.parts(&rows[leaf.rows.clone()], features, gradients);
            let of_parent = parent.is_some();
            let counted = [parts(small), parent.map_or_else(|| parts(large), |parent| vec![parent])];
            self.look([&mut *small, &mut *large], counted, of_parent, features, gradients);
            for child in [small, large] {
                if !room || child.best.is_none() {
                    child.sums = None;
                }
            }
        }
        [left, right]
    }

    fn root(&self, rows: &[u32], features: &[u32], gradients: &Gradients) -> Leaf {
        let parts = self.parts(rows, features, gradients);
        let mut sum = Sum::default();
        match features.first() {
            // Every row lies in one of a feature's bins.
            Some(feature) => {
                parts.iter().flat_map(|sums| &sums[self.own(*feature)]).for_each(|own| sum += *own)
            }
            None => rows.iter().for_each(|row| sum += gradients.of(*row)),
        }
        let bounds = self.monotone.then_some([f64::NEG_INFINITY, f64::INFINITY]);
        let mut root =
            Leaf { rows: 0..rows.len(), node: 0, output: 0.0, sum, depth: 0, bounds, sums: None, best: None };
        root.output = self.search(&root, gradients).output(gradients.scale.read(sum), self.settings.l2);
        self.look([&mut root], [parts], false, features, gradients);
        root
    }

    /// Whether a leaf may be split at all.
    fn hopeful(&self, leaf: &Leaf, gradients: &Gradients) -> bool {
        leaf.depth < self.settings.depth
            && gradients.scale.read(leaf.sum).count >= 2 * self.settings.least_count
    }

    /// Between what the children's values must lie: both on their side of the middle, where the feature is monotone.
    fn bounds(&self, leaf: &Leaf, found: &Found) -> [Option<[f64; 2]>; 2] {
        let Some([low, high]) = leaf.bounds else { return [None; 2] };
        let middle = (found.outputs[0] + found.outputs[1]) / 2.0;
        match self.columns[found.feature as usize].monotone {
            1.. => [Some([low, middle]), Some([middle, high])],
            0 => [Some([low, high]); 2],
            _ => [Some([middle, high]), Some([low, middle])],
        }
    }

    /// Moves the rows that go left to the front, keeps the order on both sides, and tells how many they are.
    fn part(&self, rows: &mut [u32], feature: u32, left: &Side) -> usize {
        let share = rows.len().div_ceil(self.threads).max(WORTH_A_THREAD / 4);
        let all = self.data.train.rows();
        let bins = &self.by_feature[feature as usize * all..][..all];
        let mut parts: Vec<_> = rows.chunks_mut(share).map(|rows| (rows, 0, Vec::new())).collect();
        threads::each(self.threads, &mut parts, |(rows, cut, others)| {
            others.resize(rows.len(), 0);
            let mut other = 0;
            for at in 0..rows.len() {
                let row = rows[at];
                let goes_left = left.has(bins[row as usize]);
                // Written to both sides and kept on one: there is no branch to guess.
                rows[*cut] = row;
                others[other] = row;
                *cut += usize::from(goes_left);
                other += usize::from(!goes_left);
            }
            others.truncate(other);
        });
        let sides: Vec<(usize, Vec<u32>)> = parts.into_iter().map(|(_, cut, others)| (cut, others)).collect();
        let (mut cut, mut start) = (0, 0);
        for (own, others) in &sides {
            rows.copy_within(start..start + own, cut);
            cut += own;
            start += own + others.len();
        }
        let mut rest = &mut rows[cut..];
        for (_, others) in &sides {
            let (place, behind) = rest.split_at_mut(others.len());
            place.copy_from_slice(others);
            rest = behind;
        }
        cut
    }

    /// The histogram of some rows, in as many parts as threads counted.
    fn parts(&self, rows: &[u32], features: &[u32], gradients: &Gradients) -> Vec<Vec<Sum>> {
        let worth = (rows.len() * features.len()).div_ceil(WORTH_A_THREAD).min(self.threads);
        let share = rows.len().div_ceil(worth.max(1)).max(1);
        let mut parts: Vec<_> = rows.chunks(share).map(|rows| (rows, Vec::new())).collect();
        threads::each(self.threads, &mut parts, |(rows, sums)| {
            sums.resize(self.bins, Sum::default());
            self.count(rows, features, gradients, sums);
        });
        parts.into_iter().map(|(_, sums)| sums).collect()
    }

    fn count(&self, rows: &[u32], features: &[u32], gradients: &Gradients, sums: &mut [Sum]) {
        let width = self.columns.len();
        let cells = &self.data.train.bins;
        let all = features.len() == width;
        for (at, row) in rows.iter().enumerate() {
            // A leaf's rows lie apart: what is read next would be waited for.
            if let Some(next) = rows.get(at + AHEAD) {
                let next = *next as usize;
                prefetch(&gradients.rows, next);
                prefetch(cells, next * width);
                prefetch(cells, next * width + width - 1);
            }
            let bins = &cells[*row as usize * width..][..width];
            let sum = gradients.of(*row);
            if all {
                bins.iter()
                    .zip(&self.offsets)
                    .for_each(|(bin, offset)| sums[offset + usize::from(*bin)] += sum);
            } else {
                for feature in features {
                    let feature = *feature as usize;
                    sums[self.offsets[feature] + usize::from(bins[feature])] += sum;
                }
            }
        }
    }

    fn search(&self, leaf: &Leaf, gradients: &Gradients) -> Search<'_> {
        Search { settings: self.settings, scale: gradients.scale, total: leaf.sum, bounds: leaf.bounds }
    }

    /// A feature's bins in a histogram.
    fn own(&self, feature: u32) -> Range<usize> {
        let at = feature as usize;
        self.offsets[at]..self.offsets[at] + self.data.columns[at].count()
    }

    /// Adds up what threads counted of each leaf, or takes the first from what is known of both where that is given in
    /// place of the second, and finds each leaf's best split; of equal ones that by the first feature. Feature by feature,
    /// so that all threads share all of it and wait for each other once.
    fn look<const N: usize>(
        &self,
        leaves: [&mut Leaf; N],
        mut counted: [Vec<Vec<Sum>>; N],
        of_parent: bool,
        features: &[u32],
        gradients: &Gradients,
    ) {
        let searches =
            leaves.each_ref().map(|leaf| self.hopeful(leaf, gradients).then(|| self.search(leaf, gradients)));
        let threads = self.bins.div_ceil(WORTH_SEARCHING).min(self.threads);
        let mut looked: Vec<_> =
            features.iter().map(|feature| (*feature, [None; N], Vec::with_capacity(N))).collect();
        let mut others = Vec::with_capacity(N);
        for parts in &mut counted {
            let Some((first, rest)) = parts.split_first_mut() else { return };
            others.push(&*rest);
            let (mut left, mut start) = (&mut first[..], 0);
            for (feature, _, sums) in &mut looked {
                let own = self.own(*feature);
                let (_, behind) = std::mem::take(&mut left).split_at_mut(own.start - start);
                let (mine, behind) = behind.split_at_mut(own.len());
                sums.push(mine);
                (left, start) = (behind, own.end);
            }
        }
        threads::each(threads, &mut looked, |(feature, found, sums)| {
            for (sums, others) in sums.iter_mut().zip(&others) {
                for other in *others {
                    sums.iter_mut().zip(&other[self.own(*feature)]).for_each(|(all, part)| *all += *part);
                }
            }
            if let ([small, large], true) = (&mut sums[..], of_parent) {
                large.iter_mut().zip(small.iter()).for_each(|(all, part)| *all = *all - *part);
            }
            let at = *feature as usize;
            for ((found, search), sums) in found.iter_mut().zip(&searches).zip(sums) {
                let by = |search: &Search<'_>| {
                    search.by(*feature, &self.data.columns[at], sums, self.columns[at].monotone)
                };
                *found = search.as_ref().and_then(by);
            }
        });
        let best: [Option<Found>; N] = std::array::from_fn(|leaf| {
            let found = looked.iter().filter_map(|(_, found, _)| found[leaf]);
            found.reduce(|best, next| if next.gain > best.gain { next } else { best })
        });
        for ((leaf, parts), best) in leaves.into_iter().zip(counted).zip(best) {
            (leaf.sums, leaf.best) = (parts.into_iter().next(), best);
        }
    }
}
