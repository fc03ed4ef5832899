//! One tree, grown leaf by leaf: always the leaf next whose split gains most.

use std::ops::Range;

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
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum += gradients.of(*row));
        let bounds = self.monotone.then_some([f64::NEG_INFINITY, f64::INFINITY]);
        let mut root =
            Leaf { rows: 0..rows.len(), node: 0, output: 0.0, sum, depth: 0, bounds, sums: None, best: None };
        let search = self.search(&root, gradients);
        root.output = search.output(gradients.scale.read(sum), self.settings.l2);
        root.sums = Some(self.sums(rows, features, gradients));
        self.look(&mut root, features, gradients);
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
        // The larger one first: if it is hopeless, so is the smaller one.
        if self.hopeful(large, gradients) {
            let sums = self.sums(&rows[small.rows.clone()], features, gradients);
            large.sums = Some(match parent {
                Some(mut parent) => {
                    parent.iter_mut().zip(&sums).for_each(|(all, part)| *all = *all - *part);
                    parent
                }
                None => self.sums(&rows[large.rows.clone()], features, gradients),
            });
            small.sums = Some(sums);
            for child in [small, large] {
                self.look(child, features, gradients);
                if !room || child.best.is_none() {
                    child.sums = None;
                }
            }
        }
        [left, right]
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

    /// The histogram of some rows.
    fn sums(&self, rows: &[u32], features: &[u32], gradients: &Gradients) -> Vec<Sum> {
        let worth = (rows.len() * features.len()).div_ceil(WORTH_A_THREAD).min(self.threads);
        let share = rows.len().div_ceil(worth.max(1)).max(1);
        let mut parts: Vec<_> = rows.chunks(share).map(|rows| (rows, Vec::new())).collect();
        threads::each(self.threads, &mut parts, |(rows, sums)| {
            sums.resize(self.bins, Sum::default());
            self.count(rows, features, gradients, sums);
        });
        let mut parts = parts.into_iter().map(|(_, sums)| sums);
        let mut all = parts.next().unwrap_or_else(|| vec![Sum::default(); self.bins]);
        for part in parts {
            all.iter_mut().zip(part).for_each(|(all, part)| *all += part);
        }
        all
    }

    fn count(&self, rows: &[u32], features: &[u32], gradients: &Gradients, sums: &mut [Sum]) {
        let width = self.columns.len();
        let places: Vec<(usize, usize)> =
            features.iter().map(|feature| (*feature as usize, self.offsets[*feature as usize])).collect();
        for row in rows {
            let bins = &self.data.train.bins[*row as usize * width..][..width];
            let sum = gradients.of(*row);
            for (feature, offset) in &places {
                sums[offset + usize::from(bins[*feature])] += sum;
            }
        }
    }

    fn search(&self, leaf: &Leaf, gradients: &Gradients) -> Search<'_> {
        Search { settings: self.settings, scale: gradients.scale, total: leaf.sum, bounds: leaf.bounds }
    }

    /// Finds the leaf's best split; of equal ones that by the first feature.
    fn look(&self, leaf: &mut Leaf, features: &[u32], gradients: &Gradients) {
        let Some(sums) = leaf.sums.as_ref().filter(|_| self.hopeful(leaf, gradients)) else { return };
        let search = self.search(leaf, gradients);
        let threads = self.bins.div_ceil(WORTH_SEARCHING).min(self.threads);
        let mut found: Vec<(u32, Option<Found>)> = features.iter().map(|feature| (*feature, None)).collect();
        threads::each(threads, &mut found, |(feature, found)| {
            let at = *feature as usize;
            let bins = &self.data.columns[at];
            let sums = &sums[self.offsets[at]..][..bins.count()];
            *found = search.by(*feature, bins, sums, self.columns[at].monotone);
        });
        leaf.best = found
            .into_iter()
            .filter_map(|(_, found)| found)
            .reduce(|best, next| if next.gain > best.gain { next } else { best });
    }
}
