//! What is known of predictions and their actuals, by when they were predicted: panes of equal length, of which any
//! window is a sum.

use std::collections::BTreeMap;

use crate::score::Sums;

pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
/// Panes of a minute are kept this long, those of an hour as long as labels are waited for.
pub(super) const SHORT: u64 = 2 * HOUR;
pub(super) const LONG: u64 = 7 * 24 * HOUR;

/// A stretch of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Pane {
    /// Rows that this process predicted.
    pub(super) predictions: u64,
    /// Of these, those with an actual.
    pub(super) labelled: u64,
    /// Rows with an actual, whoever predicted them.
    pub(super) sums: Sums,
    /// From a prediction to its first actual.
    pub(super) delays: Delays,
}

/// Panes of one length.
#[derive(Debug)]
pub(super) struct Panes {
    /// By their start, in milliseconds since 1970.
    panes: BTreeMap<u64, Pane>,
    length: u64,
    keep: u64,
}

/// Panes of both lengths: the same rows, by the minute and by the hour.
#[derive(Debug)]
pub(super) struct Times([Panes; 2]);

/// How many took how long, in milliseconds, in classes of a quarter of an octave: quantiles are good to a fifth.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays(BTreeMap<u16, u64>);

// === impl Pane ===

impl Pane {
    fn merge(&mut self, other: &Self) {
        self.predictions += other.predictions;
        self.labelled += other.labelled;
        self.sums.merge(&other.sums);
        other.delays.0.iter().for_each(|(class, count)| *self.delays.0.entry(*class).or_default() += count);
    }
}

// === impl Times ===

impl Times {
    pub(super) fn new() -> Self {
        let panes = |length, keep| Panes { panes: BTreeMap::new(), length, keep };
        Self([panes(MINUTE, SHORT), panes(HOUR, LONG)])
    }

    /// Changes the panes of a moment; false where it is too long ago for any.
    pub(super) fn at(&mut self, at: u64, now: u64, mut change: impl FnMut(&mut Pane)) -> bool {
        let mut kept = false;
        for panes in &mut self.0 {
            if let Some(pane) = panes.at(at, now) {
                change(pane);
                kept = true;
            }
        }
        kept
    }

    /// The panes that a window of so many milliseconds up to now is made of, with their starts: the first of them whole.
    pub(super) fn panes(&self, window: u64, now: u64) -> impl Iterator<Item = (u64, &Pane)> {
        let panes = &self.0[usize::from(window > SHORT)];
        let first = now.saturating_sub(window) / panes.length * panes.length;
        panes.panes.range(first..=now).map(|(start, pane)| (*start, pane))
    }

    /// The sum of a window.
    pub(super) fn window(&self, window: u64, now: u64) -> Pane {
        let mut sum = Pane::default();
        self.panes(window, now).for_each(|(_, pane)| sum.merge(pane));
        sum
    }
}

// === impl Panes ===

impl Panes {
    fn at(&mut self, at: u64, now: u64) -> Option<&mut Pane> {
        let start = at / self.length * self.length;
        let oldest = now.saturating_sub(self.keep);
        while let Some(first) = self.panes.first_entry()
            && *first.key() + self.length < oldest
        {
            first.remove();
        }
        // A clock that was set back makes no window of the future.
        (start + self.length >= oldest && start <= now + self.length)
            .then(|| self.panes.entry(start).or_default())
    }
}

// === impl Delays ===

impl Delays {
    pub(super) fn push(&mut self, millis: u64) {
        let class = (4.0 * (millis.max(1) as f64).log2()).ceil() as u16;
        *self.0.entry(class).or_default() += 1;
    }

    /// The seconds within which this share came; none of nothing.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.0.values().sum::<u64>() as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let class = self.0.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        })?;
        Some(2_f64.powf(f64::from(*class.0) / 4.0) / 1000.0)
    }
}
