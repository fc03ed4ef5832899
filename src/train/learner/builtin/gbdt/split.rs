//! The best split of a leaf by one feature.

use super::gradients::{Scale, Stat, Sum};
use super::settings::TreeSettings;
use crate::learner::builtin::bins::{Bins, Kind};
use crate::learner::builtin::tree::Side;

/// A split that is worth it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) gain: f64,
    pub(super) feature: u32,
    pub(super) left: Side,
    /// What goes left.
    pub(super) sum: Sum,
    /// The values of both leaves.
    pub(super) outputs: [f64; 2],
}

/// A leaf that is to be split.
pub(super) struct Search<'a> {
    pub(super) settings: &'a TreeSettings,
    pub(super) scale: Scale,
    pub(super) total: Sum,
    /// What its value must lie between, for the sake of monotone features; none: there are none.
    pub(super) bounds: Option<[f64; 2]>,
}

/// The best so far of one feature.
struct Best {
    worth: f64,
    at: usize,
    missing_left: bool,
    sum: Sum,
}

impl Search<'_> {
    /// The best split by a feature, if any is worth it.
    pub(super) fn by(&self, feature: u32, bins: &Bins, sums: &[Sum], monotone: i8) -> Option<Found> {
        let found = match &bins.kind {
            Kind::Numbers(ends) => self.numbers(ends, sums, monotone),
            Kind::Categories { .. } => self.categories(bins.values(), sums),
        };
        found.map(|found| Found { feature, ..found })
    }

    fn numbers(&self, ends: &[f32], sums: &[Sum], monotone: i8) -> Option<Found> {
        let (missing, values) = sums.split_last()?;
        let any_missing = missing.mass > 0;
        let mut best = Best { worth: self.least(), at: usize::MAX, missing_left: false, sum: Sum::default() };
        let mut left = Sum::default();
        for (at, sum) in values.iter().enumerate() {
            if sum.mass == 0 {
                continue;
            }
            left += *sum;
            let mut consider = |sum: Sum, missing_left: bool| {
                let worth = self.worth(sum, self.settings.l2, monotone);
                if worth > best.worth {
                    best = Best { worth, at, missing_left, sum };
                }
            };
            consider(left, false);
            if any_missing {
                let mut with = left;
                with += *missing;
                consider(with, true);
            }
        }
        if best.at == usize::MAX {
            return None;
        }
        let at = middle(ends, values, best.at);
        let mut side = Side::up_to(at);
        if if any_missing { best.missing_left } else { self.heavier_left(best.sum) } {
            side.insert(values.len());
        }
        Some(self.found(&best, side, self.settings.l2))
    }

    /// Categories are put in the order of their gradients, where the best set is a beginning or an end.
    fn categories(&self, values: usize, sums: &[Sum]) -> Option<Found> {
        let rules = &self.settings.category;
        let missing = sums.len() - 1;
        // What is missing is a category too; rare ones are no members of any set, so that unknown ones go with them.
        let all = (0..values).chain([missing]).filter(|bin| sums[*bin].mass > 0);
        let mut best = Best { worth: self.least(), at: usize::MAX, missing_left: false, sum: Sum::default() };
        if values <= rules.one_by_one as usize {
            for at in all {
                let worth = self.worth(sums[at], self.settings.l2, 0);
                if worth > best.worth {
                    best = Best { worth, at, missing_left: false, sum: sums[at] };
                }
            }
            let mut side = Side::default();
            side.insert(best.at);
            return (best.at != usize::MAX).then(|| self.found(&best, side, self.settings.l2));
        }
        let l2 = self.settings.l2 + rules.l2;
        let slope = |stat: Stat| stat.gradient / (stat.hessian + rules.smooth);
        let mut order: Vec<(f64, usize)> = all
            .map(|bin| (self.scale.read(sums[bin]), bin))
            .filter(|(stat, _)| stat.count as f64 >= rules.smooth)
            .map(|(stat, bin)| (slope(stat), bin))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let most = (rules.most as usize).min(order.len().div_ceil(2));
        let mut chosen = Side::default();
        for backwards in [false, true] {
            let (mut left, mut group, mut side) = (Sum::default(), 0, Side::default());
            for at in 0..most {
                let bin = order[if backwards { order.len() - 1 - at } else { at }].1;
                side.insert(bin);
                left += sums[bin];
                group += self.scale.read(sums[bin]).count;
                let rest = self.scale.read(self.total - left).count;
                if rest < self.settings.least_count.max(rules.least_group) {
                    break;
                }
                if group < rules.least_group {
                    continue;
                }
                let worth = self.worth(left, l2, 0);
                if worth > f64::NEG_INFINITY {
                    group = 0;
                }
                if worth > best.worth {
                    best = Best { worth, at, missing_left: false, sum: left };
                    chosen = side;
                }
            }
        }
        (best.at != usize::MAX).then(|| self.found(&best, chosen, l2))
    }

    /// Where values that were never missing here go when they are: with most rows.
    fn heavier_left(&self, left: Sum) -> bool {
        self.scale.read(left).count * 2 > self.scale.read(self.total).count
    }

    fn found(&self, best: &Best, left: Side, l2: f64) -> Found {
        let (one, other) = (self.scale.read(best.sum), self.scale.read(self.total - best.sum));
        Found {
            gain: best.worth - self.least(),
            feature: 0,
            left,
            sum: best.sum,
            outputs: [self.output(one, l2), self.output(other, l2)],
        }
    }

    /// What a split must exceed.
    fn least(&self) -> f64 {
        let total = self.scale.read(self.total);
        let own = match self.bounds {
            None => self.square(total, self.settings.l2),
            Some(_) => self.given(total, self.output(total, self.settings.l2), self.settings.l2),
        };
        own + self.settings.least_gain
    }

    /// What a split gains, more or less than the leaf itself; nothing where it is not allowed.
    #[inline]
    fn worth(&self, left: Sum, l2: f64, monotone: i8) -> f64 {
        let (rules, right) = (self.settings, self.total - left);
        // Most bins of small leaves end here.
        if self.scale.count(left).min(self.scale.count(right)) < rules.least_count {
            return f64::NEG_INFINITY;
        }
        let (one, other) = (self.scale.read(left), self.scale.read(right));
        if one.hessian.min(other.hessian) < rules.least_hessian {
            return f64::NEG_INFINITY;
        }
        if self.bounds.is_none() {
            return self.square(one, l2) + self.square(other, l2);
        }
        let outputs = [self.output(one, l2), self.output(other, l2)];
        if f64::from(monotone) * (outputs[1] - outputs[0]) < 0.0 {
            return f64::NEG_INFINITY;
        }
        self.given(one, outputs[0], l2) + self.given(other, outputs[1], l2)
    }

    /// Gradients shrunk by the L1 penalty.
    #[inline]
    fn shrunk(&self, gradient: f64) -> f64 {
        let l1 = self.settings.l1;
        if l1 == 0.0 { gradient } else { gradient.signum() * (gradient.abs() - l1).max(0.0) }
    }

    #[inline]
    fn square(&self, stat: Stat, l2: f64) -> f64 {
        let gradient = self.shrunk(stat.gradient);
        gradient * gradient / (stat.hessian + l2).max(f64::MIN_POSITIVE)
    }

    /// The best value of a leaf within its bounds.
    pub(super) fn output(&self, stat: Stat, l2: f64) -> f64 {
        let output = -self.shrunk(stat.gradient) / (stat.hessian + l2).max(f64::MIN_POSITIVE);
        self.bounds.map_or(output, |[low, high]| output.clamp(low, high))
    }

    /// What a leaf gains with a given value.
    fn given(&self, stat: Stat, output: f64, l2: f64) -> f64 {
        -(2.0 * self.shrunk(stat.gradient) * output + (stat.hessian + l2) * output * output)
    }
}

/// Where bins behind the last on the left are empty here, the cut nearest to the middle of the gap: values that training
/// did not have at this place then go with their neighbours.
pub(crate) fn gap(ends: &[f32], at: usize, next: Option<usize>) -> usize {
    let Some(next) = next.filter(|next| *next > at + 1) else { return at };
    let middle = (ends[at] + ends[next - 1]) / 2.0;
    let distance = |cut: &usize| (ends[*cut] - middle).abs();
    (at..next).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(at)
}

fn middle(ends: &[f32], values: &[Sum], at: usize) -> usize {
    gap(ends, at, (at + 1..values.len()).find(|bin| values[*bin].mass > 0))
}
