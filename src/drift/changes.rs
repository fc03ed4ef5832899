//! Changes of a version's features at several scales, within the budget of false alarms at the traffic that it has.

use super::alert::Found;
use super::detector::{Detector, Strongest, Test, Thresholds};
use super::reference::Reference;

/// Of the false alarms that a version may raise, those of the detector; the rest is for windows.
pub(super) const SHARE: f64 = 0.95;
/// How long ago traffic still counts, in milliseconds.
const MEMORY_MILLIS: f64 = 86_400_000.0;
/// Evidence that is worth other thresholds.
const STEP: f64 = 0.05;

/// The detector of a version, with what it asks for now.
#[derive(Debug)]
pub(super) struct Changes {
    detector: Detector,
    thresholds: Thresholds,
    pace: Pace,
    /// Whether a pane was closed since the latest look.
    fresh: bool,
}

/// Rows by time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rows: f64,
    millis: f64,
    at: u64,
}

// === impl Changes ===

impl Changes {
    pub(super) fn new(reference: &Reference, pace: Pace) -> Self {
        // Until the first look nothing is told.
        let thresholds = Thresholds::new(f64::from(f32::MAX).ln());
        Self { detector: Detector::new(reference), thresholds, pace, fresh: false }
    }

    /// Where a row's cells are counted.
    pub(super) fn open(&mut self) -> &mut [u16] {
        self.detector.open()
    }

    /// A row was counted.
    pub(super) fn row(&mut self) {
        self.pace.rows += 1.0;
        if self.detector.row() {
            self.detector.close(&self.thresholds);
            self.fresh = true;
        }
    }

    /// Follows traffic, and says what changed; none where nothing came. `budget` is how many false alarms there may be in
    /// `month` milliseconds.
    pub(super) fn look(
        &mut self,
        reference: &Reference,
        budget: f64,
        month: f64,
        now: u64,
    ) -> Option<Vec<Found>> {
        let rows = self.pace.in_time(month, now);
        let values = rows * reference.features.len() as f64 / (budget * SHARE);
        let needed = Thresholds::evidence_of(values, reference.rows);
        if (needed - self.thresholds.evidence).abs() > STEP {
            self.thresholds = Thresholds::new(needed);
        }
        std::mem::take(&mut self.fresh).then(|| {
            let strongest = reference.features.iter().enumerate();
            let strongest =
                strongest.map(|(at, profile)| (profile.name.as_str(), self.detector.strongest(at)));
            strongest
                .filter(|(_, strongest)| strongest.level >= 0.7)
                .map(|(name, found)| told(name, found))
                .collect()
        })
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.detector.bytes()
    }
}

fn told(name: &str, strongest: Strongest) -> Found {
    let what = match strongest.test {
        Test::Location => "values have moved",
        Test::Scale => "values spread differently",
        Test::Shape => "values are distributed differently",
        Test::Cells => "values have other shares",
    };
    let Strongest { level, rows, .. } = strongest;
    Found {
        feature: name.to_owned(),
        kind: "change",
        level: f64::from(level),
        // Its threshold has it that one look is enough.
        at_once: true,
        detail: format!("{what} over {rows} rows, {level:.2} of what an alert takes"),
    }
}

// === impl Pace ===

impl Pace {
    /// Of so many rows since then.
    pub(super) fn new(rows: u64, since: u64, now: u64) -> Self {
        Self { rows: rows as f64, millis: now.saturating_sub(since) as f64, at: now }
    }

    /// Rows in so much time, as they came of late.
    fn in_time(&mut self, millis: f64, now: u64) -> f64 {
        let passed = now.saturating_sub(std::mem::replace(&mut self.at, now)) as f64;
        let kept = (-passed / MEMORY_MILLIS).exp();
        self.rows *= kept;
        self.millis = self.millis * kept + passed;
        // A moment is no pace.
        self.rows / self.millis.max(1000.0) * millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_day() {
        let mut pace = Pace::new(2000, 0, 20_000);
        assert!((pace.in_time(1000.0, 20_000) - 100.0).abs() < 1e-9);
        for second in 21..=400_000 {
            pace.rows += 10.0;
            pace.in_time(1000.0, second * 1000);
        }
        let now = pace.in_time(1000.0, 400_000_000);
        assert!((9.5..10.5).contains(&now), "{now}");
    }
}
