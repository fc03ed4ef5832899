//! One tree of a forest, grown node by node until nothing is left to split.

use super::criterion::Criterion;
use super::settings::Settings;
use crate::learner::builtin::bins::Kind;
use crate::learner::builtin::gbdt::split::gap;
use crate::learner::builtin::matrix::Data;
use crate::learner::builtin::random::Random;
use crate::learner::builtin::tree::{Grown, Side};

/// Rows below which sorting them is cheaper than a histogram.
const FEW: usize = 128;

/// What trees are grown from.
pub(super) struct Grower<'a, C> {
    data: &'a Data,
    criterion: &'a C,
    settings: &'a Settings,
    useful: Vec<u32>,
}

/// The best split so far.
struct Best {
    worth: f64,
    feature: u32,
    left: Side,
}

/// A tree in the making.
struct Growing<'a, C> {
    grower: &'a Grower<'a, C>,
    random: Random,
    /// How often each row was drawn.
    times: Vec<u16>,
    tree: Vec<Grown>,
    /// Sums by bin of one feature.
    sums: Vec<f64>,
    /// Bins and rows of a small node.
    keys: Vec<u64>,
    features: Vec<u32>,
}

impl<'a, C: Criterion> Grower<'a, C> {
    pub(super) fn new(data: &'a Data, criterion: &'a C, settings: &'a Settings) -> Self {
        let useful =
            (0u32..).zip(&data.columns).filter(|(_, bins)| bins.useful()).map(|(at, _)| at).collect();
        Self { data, criterion, settings, useful }
    }

    pub(super) fn grow(&self, mut random: Random) -> Vec<Grown> {
        let all = self.data.train.rows();
        let mut times = vec![u16::from(self.settings.drawn.is_none()); all];
        for _ in 0..self.settings.drawn.unwrap_or(0) {
            let row = random.below(all);
            times[row] = times[row].saturating_add(1);
        }
        let mut rows: Vec<u32> =
            (0u32..).zip(&times).filter(|(_, times)| **times > 0).map(|(row, _)| row).collect();
        let stride = self.criterion.stride();
        let features = self.useful.clone();
        let mut growing = Growing {
            grower: self,
            random,
            times,
            tree: vec![Grown::Leaf(Vec::new())],
            sums: vec![0.0; 257 * stride],
            keys: Vec::new(),
            features,
        };
        let mut waiting = vec![(0, 0..rows.len(), 0)];
        let mut spare = Vec::new();
        while let Some((node, range, depth)) = waiting.pop() {
            let own = &mut rows[range.clone()];
            match growing.node(own, depth) {
                Err(answer) => growing.tree[node] = Grown::Leaf(answer),
                Ok((best, gain)) => {
                    let cut = range.start + growing.part(own, &best, &mut spare);
                    let first = growing.tree.len();
                    growing.tree[node] = Grown::Split {
                        feature: best.feature,
                        left: best.left,
                        gain,
                        children: [first as u32, first as u32 + 1],
                    };
                    growing.tree.extend([Grown::Leaf(Vec::new()), Grown::Leaf(Vec::new())]);
                    waiting.push((first + 1, cut..range.end, depth + 1));
                    waiting.push((first, range.start..cut, depth + 1));
                }
            }
        }
        growing.tree
    }
}

impl<C: Criterion> Growing<'_, C> {
    /// The best split of some rows and what it gains, or what they answer as a leaf.
    fn node(&mut self, rows: &[u32], depth: u32) -> Result<(Best, f64), Vec<f32>> {
        let (criterion, settings) = (self.grower.criterion, self.grower.settings);
        let mut total = vec![0.0; criterion.stride()];
        rows.iter().for_each(|row| criterion.add(&mut total, *row, self.times[*row as usize].into()));
        let worth = criterion.worth(&total);
        let count = rows.len() as u64;
        if depth >= settings.depth
            || count < settings.least_to_split.max(2 * settings.least_in_leaf)
            || criterion.pure(&total, worth)
        {
            return Err(criterion.answer(&total));
        }
        let mut best = Best { worth: f64::NEG_INFINITY, feature: 0, left: Side::default() };
        let mut varied = false;
        for seen in 0..self.features.len() {
            // Features without two values here count, but there must be one that has.
            if seen >= settings.features && varied {
                break;
            }
            let other = seen + self.random.below(self.features.len() - seen);
            self.features.swap(seen, other);
            varied |= self.feature(self.features[seen], rows, &total, &mut best);
        }
        let gain = best.worth - worth;
        let share = criterion.weight(&total).max(f64::MIN_POSITIVE);
        if best.worth == f64::NEG_INFINITY || gain / share < settings.least_decrease {
            return Err(criterion.answer(&total));
        }
        Ok((best, gain.max(0.0)))
    }

    /// Looks for a better split by a feature; false where the rows do not differ in it.
    fn feature(&mut self, feature: u32, rows: &[u32], total: &[f64], best: &mut Best) -> bool {
        let bins = &self.grower.data.columns[feature as usize];
        let stride = self.grower.criterion.stride();
        let mut found: Vec<(usize, usize)> = Vec::new();
        if rows.len() < FEW {
            self.sort(feature, rows, &mut found)
        } else {
            self.count(feature, rows, bins.count(), &mut found)
        }
        let (differ, missing) = (found.len() > 1, bins.missing());
        let apart = found.last().copied().filter(|(bin, _)| *bin == missing);
        match &bins.kind {
            Kind::Numbers(ends) => {
                if apart.is_some() {
                    found.pop();
                }
                self.scan(&found, apart, total, feature, best, |found, last| {
                    Side::up_to(gap(ends, found[last].0, found.get(last + 1).map(|next| next.0)))
                });
            }
            Kind::Categories { .. } => {
                let criterion = self.grower.criterion;
                let slope = |at: usize| criterion.slope(&self.sums[at * stride..][..stride], total);
                // Rare categories are no members of a set: they stay on the other side.
                found.retain(|(bin, _)| *bin < bins.values() || *bin == missing);
                found.sort_by(|a, b| slope(a.1).total_cmp(&slope(b.1)));
                self.scan(&found, None, total, feature, best, |found, last| {
                    let mut side = Side::default();
                    found[..=last].iter().for_each(|(bin, _)| side.insert(*bin));
                    side
                });
            }
        }
        differ
    }

    /// Sums of the rows by bin, of few rows: `found` gets each bin and the place of its sum.
    fn sort(&mut self, feature: u32, rows: &[u32], found: &mut Vec<(usize, usize)>) {
        let (cells, stride) = (&self.grower.data.train, self.grower.criterion.stride());
        let key = |row: &u32| u64::from(cells.row(*row as usize)[feature as usize]) << 32 | u64::from(*row);
        self.keys.clear();
        self.keys.extend(rows.iter().map(key));
        self.keys.sort_unstable();
        for run in self.keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let sum = &mut self.sums[found.len() * stride..][..stride];
            sum.fill(0.0);
            for key in run {
                let row = *key as u32;
                self.grower.criterion.add(sum, row, self.times[row as usize].into());
            }
            found.push(((run[0] >> 32) as usize, found.len()));
        }
    }

    /// The same of many rows.
    fn count(&mut self, feature: u32, rows: &[u32], bins: usize, found: &mut Vec<(usize, usize)>) {
        let (cells, stride) = (&self.grower.data.train, self.grower.criterion.stride());
        let width = cells.bins.len() / cells.rows();
        self.sums[..bins * stride].fill(0.0);
        for row in rows {
            let bin = usize::from(cells.bins[*row as usize * width + feature as usize]);
            let sum = &mut self.sums[bin * stride..][..stride];
            self.grower.criterion.add(sum, *row, self.times[*row as usize].into());
        }
        found.extend((0..bins).filter(|bin| self.sums[bin * stride] > 0.0).map(|bin| (bin, bin)));
    }

    /// Tries every cut of bins in their order, with what is missing on either side.
    fn scan(
        &self,
        found: &[(usize, usize)],
        missing: Option<(usize, usize)>,
        total: &[f64],
        feature: u32,
        best: &mut Best,
        side: impl Fn(&[(usize, usize)], usize) -> Side,
    ) {
        let (criterion, stride) = (self.grower.criterion, self.grower.criterion.stride());
        let least = self.grower.settings.least_in_leaf as f64;
        let mut left = vec![0.0; 2 * stride];
        let (left, other) = left.split_at_mut(stride);
        let zero = [(None, false), (missing, true)];
        let mut chosen = None;
        for (last, (_, place)) in found.iter().enumerate() {
            left.iter_mut().zip(&self.sums[place * stride..]).for_each(|(sum, more)| *sum += more);
            for (missing, missing_left) in zero.iter().take(1 + usize::from(missing.is_some())) {
                let gone = |at: usize| missing.map_or(0.0, |(_, place)| self.sums[place * stride + at]);
                // `other` is first the left side with what is missing, then the right side.
                (0..stride).for_each(|at| other[at] = left[at] + gone(at));
                let (count, worth) = (other[0], criterion.worth(other));
                (0..stride).for_each(|at| other[at] = total[at] - other[at]);
                if count < least || other[0] < least.max(1.0) {
                    continue;
                }
                let worth = worth + criterion.worth(other);
                if worth > best.worth {
                    best.worth = worth;
                    chosen = Some((last, *missing_left, count));
                }
            }
        }
        let Some((last, missing_left, count)) = chosen else { return };
        (best.feature, best.left) = (feature, side(found, last));
        let bins = &self.grower.data.columns[feature as usize];
        // Values that were never missing here go with most rows when they are.
        let never = missing.is_none() && !best.left.has(bins.missing() as u8);
        let numbers = matches!(bins.kind, Kind::Numbers(_));
        if missing_left || never && numbers && count * 2.0 > total[0] {
            best.left.insert(bins.missing());
        }
    }

    /// Moves the rows that go left to the front, and tells how many they are.
    fn part(&self, rows: &mut [u32], best: &Best, spare: &mut Vec<u32>) -> usize {
        let cells = &self.grower.data.train;
        let width = cells.bins.len() / cells.rows();
        spare.clear();
        let mut cut = 0;
        for at in 0..rows.len() {
            let row = rows[at];
            if best.left.has(cells.bins[row as usize * width + best.feature as usize]) {
                rows[cut] = row;
                cut += 1;
            } else {
                spare.push(row);
            }
        }
        rows[cut..].copy_from_slice(spare);
        cut
    }
}
