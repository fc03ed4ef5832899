//! An experiment with the versions that answer now: what records and receipts refer to.

use super::metric::{Kind, Score};
use super::verdict::phase;
use super::{Experiment, Layout, Measured};
use crate::stats::assign;

/// One phase of an experiment: sums of one add up, those of two do not.
#[derive(Debug)]
pub struct Track {
    /// The experiment.
    pub experiment: Experiment,
    /// The arms and series of its sums.
    pub layout: Layout,
    /// Version by variant; none where one cannot answer.
    pub versions: Vec<Option<u64>>,
    /// Its identity.
    pub phase: String,
    /// Series of predictions held against actuals.
    pub scores: Vec<(usize, Score)>,
    /// Series of what is posted by unit, by name.
    pub outcomes: Vec<(usize, String)>,
    /// The series of failed requests.
    pub errors: usize,
    /// The series of their times.
    pub latency: Option<usize>,
    /// The series of rows with an actual.
    pub labelled: Option<usize>,
}

// === impl Track ===

impl Track {
    /// The phase of an experiment whose variants are these versions.
    pub fn new(experiment: Experiment, versions: Vec<Option<u64>>) -> Self {
        let layout = Layout::of(&experiment);
        let series = || layout.series.iter().enumerate();
        let scores = series().filter_map(|(at, series)| match series {
            Measured::Metric(Kind::Score(score)) => Some((at, *score)),
            _ => None,
        });
        let outcomes = series().filter_map(|(at, series)| match series {
            Measured::Metric(Kind::Outcome(name)) => Some((at, name.clone())),
            _ => None,
        });
        Self {
            scores: scores.collect(),
            outcomes: outcomes.collect(),
            // It is always the first.
            errors: layout.series_of(&Kind::Errors).unwrap_or(0),
            latency: layout.series_of(&Kind::Latency),
            labelled: layout.labelled(),
            phase: phase(&experiment, &layout, &versions),
            layout,
            versions,
            experiment,
        }
    }

    /// Whether variants that were to be different versions all mean the same one, as after the promotion of one.
    pub fn has_nothing_to_compare(&self) -> bool {
        let mut variants = self.experiment.variants.iter();
        let first = variants.next();
        variants.any(|variant| first.is_some_and(|first| first.serve != variant.serve))
            && self.versions.windows(2).all(|pair| pair[0] == pair[1])
            && self.versions.first().is_some_and(|version| version.is_some_and(|version| version != 0))
    }

    /// The share of all units that a variant gets.
    pub fn propensity(&self, variant: usize) -> f32 {
        self.experiment.variants[variant].slots.width() as f32 / assign::SLOTS as f32
    }
}
