//! What is known of an experiment: sums in buckets of units, which add up over replicas and time.
//!
//! Units are hashed into [`BUCKETS`] buckets, and a bucket keeps no unit, just sums. Buckets are independent samples of
//! units with everything that their units do, so variances between buckets are right however the requests of a unit
//! hang together, and memory is fixed however many units come (statistics.md's ratio of sums, by cluster).

mod histogram;
mod series;
mod wire;

#[cfg(test)]
mod tests;

pub use histogram::Histogram;
pub use series::{BUCKETS, Cell, Series, bucket};
pub use wire::Unreadable;

use std::collections::BTreeMap;

use super::cohort::Layout;
use super::pairwise::Pairs;

/// Parts that a horizon is cut into: what matures, matures this much too late at most.
const PANES: u64 = 8;

/// Everything that is known of one phase of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// Arm by arm: the variants, then the cohorts.
    pub arms: Vec<Tally>,
    /// What is not mature yet, by the time of its prediction: arm by arm, series by series.
    panes: BTreeMap<u64, Vec<Vec<Series>>>,
    /// Milliseconds of a pane; 0 where nothing has to mature.
    pane_millis: u64,
    /// Milliseconds until a prediction's outcome is final.
    horizon_millis: u64,
    /// Units seen in more than one variant, which none should be.
    pub moved: u64,
    /// What shadows predicted, against what was answered.
    pub pairs: Pairs,
}

/// What is known of an arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Units, each counted once a process: the weight.
    pub units: Series,
    /// Requests.
    pub requests: u64,
    /// Answers, by their time.
    pub latency: Histogram,
    /// What was predicted.
    pub outputs: Outputs,
    /// Rows, and those whose prediction is no finite number.
    pub broken: Series,
    /// Rows, and those that are predicted otherwise than the row before.
    pub changed: Series,
    /// Answered requests, and their seconds.
    pub seconds: Series,
    /// Series by series, what is final.
    pub series: Vec<Series>,
}

/// What predictions look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs {
    /// Rows.
    pub rows: u64,
    /// Those that are no finite number.
    pub non_finite: u64,
    /// The smallest of the others.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Rows that are another number than the one before.
    pub changes: u64,
    /// The first and the last number, while rows are pushed one after another.
    ends: Option<[f64; 2]>,
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The arms that it counts for.
    pub arms: &'a [usize],
    /// The bucket of its unit.
    pub bucket: usize,
    /// When it was predicted, in milliseconds since 1970.
    pub at: u64,
}

// === impl Sums ===

impl Sums {
    /// Nothing known yet.
    pub fn new(layout: &Layout) -> Self {
        let tally = || Tally::new(layout.series.len());
        Self {
            arms: (0..layout.arms()).map(|_| tally()).collect(),
            panes: BTreeMap::new(),
            pane_millis: layout.horizon_millis.div_ceil(PANES),
            horizon_millis: layout.horizon_millis,
            moved: 0,
            pairs: Pairs::default(),
        }
    }

    /// Adds to a series that is final at once.
    pub fn add(&mut self, place: Place<'_>, series: usize, cell: Cell) {
        for arm in place.arms {
            self.arms[*arm].series[series].add(place.bucket, cell);
        }
    }

    /// Adds to a series that matures. False where it is too late: what it belongs to is final already.
    pub fn add_late(&mut self, place: Place<'_>, series: usize, cell: Cell, now: u64) -> bool {
        if self.horizon_millis == 0 {
            self.add(place, series, cell);
            return true;
        }
        let pane = place.at / self.pane_millis;
        if self.is_final(pane, now) {
            return false;
        }
        let (arms, all) = (self.arms.len(), self.arms.first().map_or(0, |arm| arm.series.len()));
        let pane = self.panes.entry(pane).or_insert_with(|| vec![vec![Series::default(); all]; arms]);
        for arm in place.arms {
            pane[*arm][series].add(place.bucket, cell);
        }
        true
    }

    fn is_final(&self, pane: u64, now: u64) -> bool {
        (pane + 1) * self.pane_millis + self.horizon_millis <= now
    }

    /// Takes what has become final into the sums.
    pub fn mature(&mut self, now: u64) {
        while let Some(entry) = self.panes.first_entry() {
            if (entry.key() + 1) * self.pane_millis + self.horizon_millis > now {
                return;
            }
            for (arm, late) in self.arms.iter_mut().zip(entry.remove()) {
                arm.series.iter_mut().zip(&late).for_each(|(known, more)| known.merge(more));
            }
        }
    }

    /// Adds what another process knows of the same phase. False, and nothing added, where the two do not fit.
    pub fn merge(&mut self, other: &Self) -> bool {
        let shape = |sums: &Self| {
            let series: Vec<usize> = sums.arms.iter().map(|arm| arm.series.len()).collect();
            (sums.horizon_millis, series)
        };
        if shape(self) != shape(other) {
            return false;
        }
        self.arms.iter_mut().zip(&other.arms).for_each(|(arm, more)| arm.merge(more));
        for (pane, late) in &other.panes {
            let arms = self
                .panes
                .entry(*pane)
                .or_insert_with(|| late.iter().map(|series| vec![Series::default(); series.len()]).collect());
            for (arm, more) in arms.iter_mut().zip(late) {
                arm.iter_mut().zip(more).for_each(|(known, more)| known.merge(more));
            }
        }
        self.moved += other.moved;
        self.pairs.merge(&other.pairs);
        true
    }

    /// Counts what a request predicted, by the bucket of its unit; `before` is what the arm predicted last.
    pub fn add_outputs(&mut self, arm: usize, bucket: usize, outputs: &Outputs, before: Option<f64>) {
        let tally = &mut self.arms[arm];
        let other = outputs.ends.zip(before).is_some_and(|([first, _], before)| first != before);
        let outputs = Outputs { changes: outputs.changes + u64::from(other), ..*outputs };
        tally.outputs.merge(&outputs);
        let cell = |sum: u64| Cell { weight: outputs.rows as f64, sum: sum as f64 };
        tally.broken.add(bucket, cell(outputs.non_finite));
        tally.changed.add(bucket, cell(outputs.changes));
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        let nothing = |series: &Series| series.filled().next().is_none();
        self.panes.is_empty()
            && self.pairs.is_empty()
            && self
                .arms
                .iter()
                .all(|arm| arm.requests == 0 && nothing(&arm.units) && arm.series.iter().all(nothing))
    }

    /// Units that may still get outcomes which count.
    pub fn immature(&self) -> bool {
        !self.panes.is_empty()
    }
}

// === impl Tally ===

impl Tally {
    fn new(series: usize) -> Self {
        Self {
            units: Series::default(),
            requests: 0,
            latency: Histogram::default(),
            outputs: Outputs::default(),
            broken: Series::default(),
            changed: Series::default(),
            seconds: Series::default(),
            series: vec![Series::default(); series],
        }
    }

    fn merge(&mut self, other: &Self) {
        self.units.merge(&other.units);
        self.requests += other.requests;
        self.latency.merge(&other.latency);
        self.outputs.merge(&other.outputs);
        self.broken.merge(&other.broken);
        self.changed.merge(&other.changed);
        self.seconds.merge(&other.seconds);
        self.series.iter_mut().zip(&other.series).for_each(|(known, more)| known.merge(more));
    }
}

// === impl Outputs ===

impl Default for Outputs {
    fn default() -> Self {
        Self { rows: 0, non_finite: 0, low: f64::INFINITY, high: f64::NEG_INFINITY, changes: 0, ends: None }
    }
}

impl Outputs {
    /// Takes one prediction.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.rows += 1;
        if value.is_finite() {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
            match &mut self.ends {
                None => self.ends = Some([value, value]),
                Some([_, last]) => {
                    self.changes += u64::from(*last != value);
                    *last = value;
                }
            }
        } else {
            self.non_finite += 1;
        }
    }

    /// Takes what another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.non_finite += other.non_finite;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.changes += other.changes;
    }

    /// Takes the rows that follow.
    pub fn append(&mut self, next: &Self) {
        let other = self.ends.zip(next.ends).is_some_and(|([_, last], [first, _])| last != first);
        self.merge(next);
        self.changes += u64::from(other);
        self.ends = match (self.ends, next.ends) {
            (Some([first, _]), Some([_, last])) => Some([first, last]),
            (one, other) => one.or(other),
        };
    }

    /// The first and the last number of a request.
    pub const fn ends(&self) -> Option<[f64; 2]> {
        self.ends
    }

    /// Whether every prediction was the same number.
    pub fn is_constant(&self) -> bool {
        self.rows > self.non_finite && self.low == self.high
    }
}
