//! One or more features as a sidecar watches them, row by row.

use sidegate::drift::detector::{Detector, Thresholds};
use sidegate::drift::{Feature, Kind, Layout, Learner, Reference};

use crate::rng::Rng;

/// A reference of numbers, from columns in the order in which they came.
pub(crate) fn reference(columns: &[Vec<f64>]) -> Reference {
    let features = (0..columns.len()).map(|at| Feature { name: at.to_string(), kind: Kind::Number });
    let layout = Layout { features: features.collect(), widths: vec![columns.len()], left_out: 0 };
    let rows = columns.first().map_or(0, Vec::len);
    let mut learner = Learner::new(&layout, rows);
    for row in 0..rows {
        learner.push(&columns.iter().map(|column| (column[row] as f32).to_bits()).collect::<Vec<_>>());
    }
    learner.finish(&layout)
}

/// Features that are watched for changes alone.
pub(crate) struct Watched {
    pub(crate) reference: Reference,
    pub(crate) detector: Detector,
    thresholds: Thresholds,
    firsts: Vec<usize>,
    on: Vec<bool>,
    /// Alarms that were raised, and over how many rows they saw what they saw.
    pub(crate) raised: u64,
}

// === impl Watched ===

impl Watched {
    pub(crate) fn new(reference: Reference, thresholds: Thresholds) -> Self {
        let firsts = reference.features.iter().scan(0, |next, profile| {
            let first = *next;
            *next += profile.cells();
            Some(first)
        });
        Self {
            firsts: firsts.collect(),
            detector: Detector::new(&reference),
            on: vec![false; reference.features.len()],
            thresholds,
            raised: 0,
            reference,
        }
    }

    /// Takes a row; how many alarms it raised.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = f64>) -> usize {
        let open = self.detector.open();
        for ((profile, first), value) in self.reference.features.iter().zip(&self.firsts).zip(row) {
            open[first + profile.cell((value as f32).to_bits())] += 1;
        }
        if !self.detector.row() {
            return 0;
        }
        self.detector.close(&self.thresholds);
        let mut raised = 0;
        for (at, on) in self.on.iter_mut().enumerate() {
            let level = self.detector.strongest(at).level;
            raised += usize::from(level >= 1.0 && !*on);
            *on = level >= 1.0 || (*on && level >= 0.7);
        }
        self.raised += raised as u64;
        raised
    }

    /// Whether an alarm of the first feature is on.
    pub(crate) fn is_on(&self) -> bool {
        self.on[0]
    }
}

/// Alarms of features that do not change, over so many values each.
pub(crate) fn null(
    features: usize,
    learned: usize,
    values: usize,
    thresholds: &Thresholds,
    mut draw: impl FnMut() -> f64,
) -> u64 {
    let columns: Vec<Vec<f64>> = (0..features).map(|_| (0..learned).map(|_| draw()).collect()).collect();
    let mut watched = Watched::new(reference(&columns), thresholds.clone());
    for _ in 0..values {
        watched.push((0..features).map(|_| draw()));
    }
    watched.raised
}

/// The same of uniform numbers, of which all others are made.
pub(crate) fn uniform_null(
    seed: u64,
    features: usize,
    learned: usize,
    values: usize,
    thresholds: &Thresholds,
) -> u64 {
    let mut rng = Rng::new(seed);
    null(features, learned, values, thresholds, || rng.uniform())
}
