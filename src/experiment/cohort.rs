//! Who is compared with whom: every other variant with the control, both in cohorts of the same width.
//!
//! A small variant held against everybody else finds differences that are not there (52 % instead of 5 % at a share of
//! 5 % and an event in fifty); held against as many units of the control that came at the same time it finds them as
//! seldom as it should. So where two variants have different widths, the wider one is cut to the other's.

use std::ops::Range;

use smallvec::SmallVec;

use super::metric::Kind;
use super::share::Slots;
use super::{Experiment, Variant};

/// The arms that sums are kept for and the pairs of them that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Parts of variants, numbered after them.
    pub cohorts: Vec<Cohort>,
    /// What is compared.
    pub pairs: Vec<Pair>,
    /// What is measured, metric by metric: where a metric has no series (quantiles), it is read from elsewhere.
    pub series: Vec<Measured>,
    /// Milliseconds until an outcome is final; 0: at once.
    pub horizon_millis: u64,
    variants: usize,
}

/// The units of a variant with these slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Which variant.
    pub variant: usize,
    /// Some of its slots.
    pub slots: Slots,
}

/// A variant and the one that it is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The variant in question.
    pub variant: usize,
    /// The arm of its units.
    pub treatment: usize,
    /// The arm of the control's.
    pub control: usize,
}

/// One series of sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Of a metric.
    Metric(Kind),
    /// Rows predicted (the weight) and those with an actual (the sum).
    Labelled,
}

// === impl Layout ===

impl Layout {
    /// The layout of an experiment, whose control is the variant at `control`.
    pub fn of(experiment: &Experiment) -> Self {
        let control = experiment.control();
        let mut cohorts = Vec::new();
        let variants = experiment.variants.len();
        let mut arm = |variant: usize, width: u32| {
            let slots = &experiment.variants[variant].slots;
            if slots.width() <= width {
                return variant;
            }
            cohorts.push(Cohort { variant, slots: slots.first(width) });
            variants + cohorts.len() - 1
        };
        let width = |variant: &Variant| variant.slots.width();
        let others = (0..variants).filter(|variant| *variant != control);
        let pairs = others.map(|variant| {
            let width = width(&experiment.variants[variant]).min(width(&experiment.variants[control]));
            Pair { variant, treatment: arm(variant, width), control: arm(control, width) }
        });
        let pairs = pairs.collect();
        let mut series = vec![Measured::Metric(Kind::Errors)];
        for kind in experiment.metrics().map(|metric| &metric.kind) {
            let measured = Measured::Metric(kind.clone());
            if !matches!(kind, Kind::LatencyQuantile(_) | Kind::Disagreement) && !series.contains(&measured) {
                series.push(measured);
            }
        }
        if series.iter().any(|series| matches!(series, Measured::Metric(Kind::Score(_)))) {
            series.push(Measured::Labelled);
        }
        Self { cohorts, pairs, series, horizon_millis: experiment.horizon_millis, variants }
    }

    /// A layout of variants alone.
    #[cfg(test)]
    pub(super) fn bare(variants: usize, series: Vec<Measured>, horizon_millis: u64) -> Self {
        Self { cohorts: Vec::new(), pairs: Vec::new(), series, horizon_millis, variants }
    }

    /// How many arms there are.
    pub fn arms(&self) -> usize {
        self.variants + self.cohorts.len()
    }

    /// The arms of a unit of a variant with that slot.
    #[inline]
    pub fn of_unit(&self, variant: usize, slot: u32) -> SmallVec<[usize; 4]> {
        let cohorts = self.cohorts.iter().enumerate();
        let cohorts = cohorts.filter(|(_, cohort)| cohort.variant == variant && cohort.slots.contains(slot));
        std::iter::once(variant).chain(cohorts.map(|(at, _)| self.variants + at)).collect()
    }

    /// The series of a metric.
    pub fn series_of(&self, kind: &Kind) -> Option<usize> {
        self.series.iter().position(|series| matches!(series, Measured::Metric(known) if known == kind))
    }

    /// The series of [`Measured::Labelled`].
    pub fn labelled(&self) -> Option<usize> {
        self.series.iter().position(|series| *series == Measured::Labelled)
    }

    /// The width of an arm, in slots.
    pub fn width(&self, experiment: &Experiment, arm: usize) -> u32 {
        let cohort = arm.checked_sub(self.variants).map(|cohort| &self.cohorts[cohort].slots);
        cohort.unwrap_or_else(|| &experiment.variants[arm].slots).width()
    }
}

// === impl Slots ===

impl Slots {
    /// How many slots they are.
    pub fn width(&self) -> u32 {
        self.0.iter().map(|range| range.end.saturating_sub(range.start)).sum()
    }

    /// Whether a slot is among them.
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        self.0.iter().any(|range| range.contains(&slot))
    }

    /// The first so many of them.
    pub fn first(&self, width: u32) -> Self {
        let mut left = width;
        let mut cut = |range: &Range<u32>| {
            let taken = left.min(range.end - range.start);
            left -= taken;
            range.start..range.start + taken
        };
        Self(self.0.iter().map(&mut cut).filter(|range| !range.is_empty()).collect())
    }
}
