//! The looks back, score by score and cell by cell.

use super::scores::SCORES;
use super::{Constants, Detector, Strongest, Test, Thresholds, thresholds};

/// Fewer rows say nothing of a shape: their tails are too long.
const MIN_SHAPE_ROWS: u32 = 256;
/// Windows of more rows are looked at after every fourth pane.
const LONG: u32 = 500;
const LONG_EVERY: u32 = 4;
/// Values of a group that χ² needs on average.
const MIN_EXPECTED: usize = 8;

impl Detector {
    pub(super) fn look_at_scores(&mut self, thresholds: &Thresholds) {
        let size = self.features.len();
        let Constants { per_value, skew: [skew1, skew2], weight, shape: shaped } = &self.constants;
        let (per_value, skew1, skew2) = (&per_value[..size], &skew1[..size], &skew2[..size]);
        let (weight, shaped) = (&weight[..size], &shaped[..size]);
        let [s1, s2, s3, s4] = &mut self.sums;
        let (s1, s2, s3, s4) = (&mut s1[..size], &mut s2[..size], &mut s3[..size], &mut s4[..size]);
        let values = &mut self.values[..size];
        values.fill(0.0);
        [&mut *s1, &mut *s2, &mut *s3, &mut *s4].into_iter().for_each(|sums| sums.fill(0.0));
        let (levels, found) = (&mut self.levels[..size], &mut self.found[..size]);
        levels.fill(0.0);
        let mut rows = 0;
        // Long windows change little from one pane to the next.
        let all = self.panes.is_multiple_of(LONG_EVERY);
        for (number, block) in self.ladder.latest_first().enumerate() {
            rows += block.rows;
            if rows > LONG && !all {
                break;
            }
            let needed =
                |test, dof| if rows >= least(test) { 1.0 / thresholds.chi2(test, dof, rows) } else { 0.0 };
            let for_location = needed(Test::Location, 1);
            let for_scale = needed(Test::Scale, 1);
            let for_shape = needed(Test::Shape, SCORES);
            let [b1, b2, b3, b4] = &block.sums;
            let (b1, b2, b3, b4) = (&b1[..size], &b2[..size], &b3[..size], &b4[..size]);
            let more = &block.values[..size];
            let number = number as f32;
            for f in 0..size {
                let (n, a, b, c, d) =
                    (values[f] + more[f], s1[f] + b1[f], s2[f] + b2[f], s3[f] + b3[f], s4[f] + b4[f]);
                (values[f], s1[f], s2[f], s3[f], s4[f]) = (n, a, b, c, d);
                let share = n * per_value[f];
                let spread = n + n * share;
                // As far out as is looked at, tails are not normal; this is right to the third moment.
                let lean = 1.0 - share;
                let least = 0.5 * spread;
                let (d1, d2) = (spread + a * skew1[f] * lean, spread + b * skew2[f] * lean);
                let location = a * a / if d1 > least { d1 } else { least };
                let scale = b * b / if d2 > least { d2 } else { least };
                let shape = (location + scale + (c * c + d * d) / spread) * for_shape * shaped[f];
                let (location, scale) = (location * for_location, scale * for_scale);
                let level = if location > scale { location } else { scale };
                let level = if level > shape { level } else { shape };
                let level = level * weight[f];
                let better = level > levels[f];
                levels[f] = if better { level } else { levels[f] };
                found[f] = if better { number } else { found[f] };
            }
        }
        for at in 0..size {
            if self.levels[at] > self.strongest[at].level {
                self.strongest[at] = self.named(at, thresholds);
            }
        }
    }

    /// Over how many rows, and by which score, a feature is at its strongest.
    fn named(&self, at: usize, thresholds: &Thresholds) -> Strongest {
        let (mut rows, mut values, mut sums) = (0, 0.0, [0.0; SCORES]);
        for block in self.ladder.latest_first().take(self.found[at] as usize + 1) {
            rows += block.rows;
            values += block.values[at];
            sums.iter_mut().zip(&block.sums).for_each(|(sum, more)| *sum += more[at]);
        }
        let share = values * self.constants.per_value[at];
        let spread = values + values * share;
        let single = |score: usize, test: Test| {
            let leaning = spread + sums[score] * self.constants.skew[score][at] * (1.0 - share);
            sums[score] * sums[score] / leaning.max(0.5 * spread) / thresholds.chi2(test, 1, rows)
        };
        let weight = self.constants.weight[at];
        let [location, scale] = [single(0, Test::Location) * weight, single(1, Test::Scale) * weight];
        let level = self.levels[at];
        let near = |other: f32| other >= level * 0.999;
        let test = if near(location) {
            Test::Location
        } else if near(scale) {
            Test::Scale
        } else {
            Test::Shape
        };
        Strongest { level, rows, test }
    }

    pub(super) fn look_at_cells(&mut self, thresholds: &Thresholds) {
        let mut counts = [0_u32; 64];
        for (at, feature) in self.features.iter().enumerate() {
            // The more rows it takes to see anything, the less often.
            let every = (feature.count as u32).max(1);
            if !self.panes.is_multiple_of(every) || feature.total == 0.0 || feature.count > counts.len() {
                continue;
            }
            let counts = &mut counts[..feature.count];
            let reference = &self.counts[feature.group..feature.group + feature.count];
            counts.fill(0);
            let (mut rows, mut n, mut last) = (0, 0.0, 0.0);
            for block in self.ladder.latest_first() {
                rows += block.rows;
                n += block.values[at];
                let groups = &block.groups[feature.group..feature.group + feature.count];
                counts.iter_mut().zip(groups).for_each(|(count, more)| *count += u32::from(*more));
                if n < (MIN_EXPECTED * feature.count) as f32 || n < 1.4 * last {
                    continue;
                }
                last = n;
                let m = feature.total;
                let (mut chi2, mut dof) = (0.0, 0_usize);
                for (count, before) in counts.iter().zip(reference) {
                    let count = *count as f32;
                    let both = count + before;
                    let apart = count * m - before * n;
                    chi2 += apart * apart / both.max(1.0);
                    dof += usize::from(both > 0.0);
                }
                let needed = thresholds.chi2(Test::Cells, dof.saturating_sub(1), rows);
                let weight = self.constants.weight[at];
                let level = chi2 / (n * m) * weight / needed;
                let strongest = &mut self.strongest[at];
                if level > strongest.level && level > 0.5 {
                    // Rare groups have no χ²; the likelihood ratio is more careful with them.
                    let level = level.min(likelihood_ratio(counts, reference, n, m) * weight / needed);
                    if level > strongest.level {
                        *strongest = Strongest { level, rows, test: Test::Cells };
                    }
                }
            }
        }
    }
}

/// Rows that a test has to have.
const fn least(test: Test) -> u32 {
    if matches!(test, Test::Shape) { MIN_SHAPE_ROWS } else { thresholds::MIN_ROWS }
}

fn likelihood_ratio(counts: &[u32], reference: &[f32], n: f32, m: f32) -> f32 {
    let term = |count: f32, both: f32, share: f32| {
        if count > 0.0 { count * (count / (both * share)).ln() } else { 0.0 }
    };
    let terms = counts.iter().zip(reference).map(|(count, before)| {
        let (count, both) = (*count as f32, *count as f32 + before);
        term(count, both, n / (n + m)) + term(*before, both, m / (n + m))
    });
    2.0 * terms.sum::<f32>()
}
