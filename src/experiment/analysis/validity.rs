//! Whether a comparison can be trusted at all.

use serde::Serialize;

use super::units;
use crate::experiment::Experiment;
use crate::experiment::cohort::Layout;
use crate::experiment::sums::{BUCKETS, Series, Sums};
use crate::stats::ratio::ratio;
use crate::stats::sequential::ConfidenceSequence;
use crate::stats::srm;

/// A check fails below this p-value.
const ALPHA: f64 = 0.001;
/// More units in several variants than this part of all make an experiment invalid.
const MAX_MOVED: f64 = 0.01;
/// Fewer units in all say nothing.
const MIN_UNITS: u64 = 100;

/// What makes a comparison invalid.
#[derive(Clone, Debug, Serialize)]
pub struct Validity {
    /// Whether units came to variants as their slots say, at every look.
    pub sample_ratio: Check,
    /// The same by χ², right for one look (GrowthBook's and everybody's form).
    pub sample_ratio_chi2: Option<f64>,
    /// Whether units were in one variant only.
    pub multiple_exposure: Check,
    /// Whether outcomes came for the same part of each variant's predictions.
    pub label_coverage: Check,
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Whether nothing speaks against it; also where there is not enough to say.
    pub ok: bool,
    /// What it is judged by: a p-value, or a share.
    pub value: Option<f64>,
    /// In words.
    pub detail: String,
}

// === impl Validity ===

impl Validity {
    /// The checks that failed, by name.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &Check)> {
        let checks = [
            ("sample_ratio", &self.sample_ratio),
            ("multiple_exposure", &self.multiple_exposure),
            ("label_coverage", &self.label_coverage),
        ];
        checks.into_iter().filter(|(_, check)| !check.ok)
    }
}

pub(super) fn of(experiment: &Experiment, layout: &Layout, sums: &Sums) -> Validity {
    let counts: Vec<u64> =
        experiment.variants.iter().enumerate().map(|(at, _)| units(&sums.arms[at])).collect();
    let widths: Vec<f64> =
        experiment.variants.iter().map(|variant| f64::from(variant.slots.width())).collect();
    Validity {
        sample_ratio: sample_ratio(experiment, sums, &counts, &widths),
        sample_ratio_chi2: srm::mismatch(&counts, &widths)
            .ok()
            .filter(|found| found.enough)
            .map(|found| found.p),
        multiple_exposure: multiple_exposure(sums, counts.iter().sum()),
        label_coverage: if layout.is_labelled() && experiment.plan.default_label.is_none() {
            label_coverage(experiment, layout, sums)
        } else {
            Check { ok: true, value: None, detail: "no labels are expected".into() }
        },
    }
}

/// Variant by variant: whether its share of all units differs from that of its slots, beyond doubt at every look, with a
/// variance by buckets, so that it does not matter that a unit may be counted once in each process.
fn sample_ratio(experiment: &Experiment, sums: &Sums, counts: &[u64], widths: &[f64]) -> Check {
    let (all, width) = (counts.iter().sum::<u64>(), widths.iter().sum::<f64>());
    let few = counts.iter().zip(widths).any(|(count, width)| *width > 0.0 && *count < srm::MIN_UNITS);
    if all < MIN_UNITS || few || width == 0.0 {
        return Check { ok: true, value: None, detail: format!("{all} units are too few to say") };
    }
    let mut totals = vec![0.0; BUCKETS];
    for at in 0..counts.len() {
        totals.iter_mut().zip(sums.arms[at].units.cells()).for_each(|(total, cell)| *total += cell.weight);
    }
    let mut worst: Option<(f64, usize)> = None;
    for (at, own) in widths.iter().enumerate().filter(|(_, own)| **own > 0.0 && **own < width) {
        let share = own / width;
        let residuals =
            sums.arms[at].units.cells().zip(&totals).map(|(cell, total)| cell.weight - share * total);
        let squares: f64 = residuals.map(|residual| residual * residual).sum();
        let n = all as f64;
        let difference = counts[at] as f64 / n - share;
        let sequence =
            ConfidenceSequence::new(ALPHA / counts.len() as f64, experiment.plan.planned_units as f64);
        if let Some(sequence) = sequence.filter(|_| squares > 0.0) {
            let p = (sequence.estimate(n, difference, squares / (n * n)).p * counts.len() as f64).min(1.0);
            if worst.is_none_or(|(least, _)| p < least) {
                worst = Some((p, at));
            }
        }
    }
    let Some((p, at)) = worst else {
        return Check { ok: true, value: None, detail: "there is one variant".into() };
    };
    let (share, slots) = (100.0 * counts[at] as f64 / all as f64, 100.0 * widths[at] / width);
    let name = &experiment.variants[at].name;
    Check {
        ok: p >= ALPHA,
        value: Some(p),
        detail: format!("`{name}` has {share:.2} % of the units and {slots:.2} % of the slots"),
    }
}

fn multiple_exposure(sums: &Sums, units: u64) -> Check {
    if units < MIN_UNITS {
        return Check { ok: true, value: None, detail: format!("{units} units are too few to say") };
    }
    let share = sums.moved as f64 / units as f64;
    Check {
        ok: share <= MAX_MOVED,
        value: Some(share),
        detail: format!("{} units were in several variants", sums.moved),
    }
}

/// Pair by pair: whether labelled shares differ.
fn label_coverage(experiment: &Experiment, layout: &Layout, sums: &Sums) -> Check {
    let shares = |series: &Series| ratio(&series.joint()).ok();
    let mut worst = Check { ok: true, value: None, detail: "too few outcomes have come to say".into() };
    let Some(series) = layout.labelled() else { return worst };
    for pair in &layout.pairs {
        let sides = [pair.control, pair.treatment].map(|arm| &sums.arms[arm]);
        if sides.iter().any(|arm| units(arm) < MIN_UNITS) {
            continue;
        }
        let [control, treatment] = sides.map(|arm| shares(&arm.series[series]));
        let Some((control, treatment)) = control.zip(treatment) else { continue };
        let error = control.standard_error.hypot(treatment.standard_error);
        let difference = treatment.ratio - control.ratio;
        let n: u64 = sides.iter().map(|arm| units(arm)).sum();
        let sequence = ConfidenceSequence::new(ALPHA, experiment.plan.planned_units as f64);
        let p = match sequence {
            Some(sequence) if error > 0.0 => sequence.estimate(n as f64, difference, error * error).p,
            _ => 1.0,
        };
        if worst.value.is_none_or(|least| p < least) {
            let name = &experiment.variants[pair.variant].name;
            let [control, treatment] = [control, treatment].map(|share| 100.0 * share.ratio);
            let detail = format!(
                "{treatment:.1} % of the predictions of `{name}` have an actual, {control:.1} % of the control's"
            );
            worst = Check { ok: p >= ALPHA, value: Some(p), detail };
        }
    }
    worst
}
