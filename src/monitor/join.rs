//! An actual meets its prediction.

use crate::experiment::Predicted;
use crate::experiment::sums::{Cell, Place, Sums, bucket};

use super::pending::Waiting;

/// What became of an outcome; the label `result` of `sidegate_outcomes_total` and the status in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It counts.
    Ok,
    /// It was known.
    Duplicate,
    /// Another one was known, in whose place it counts.
    Corrected,
    /// No prediction with this id is remembered here.
    Unmatched,
    /// The prediction's horizon is over.
    Late,
    /// The unit takes part in no experiment that measures this.
    NotEnrolled,
    /// It cannot be understood.
    Invalid,
    /// The receipt is not one of this key.
    Forged,
    /// The receipt is too old.
    Expired,
    /// The receipt is of an experiment that is not on here.
    Foreign,
}

impl Joined {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Duplicate => "duplicate",
            Self::Corrected => "corrected",
            Self::Unmatched => "unmatched",
            Self::Late => "late",
            Self::NotEnrolled => "not_enrolled",
            Self::Invalid => "invalid",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
        }
    }

    /// Whether nothing was wrong with it.
    pub(super) const fn is_fine(self) -> bool {
        matches!(self, Self::Ok | Self::Duplicate | Self::Corrected)
    }
}

/// Counts what was predicted as long as nothing else is known, where the absence of an outcome is one.
pub(super) fn expect(waiting: &Waiting, sums: &mut Sums, now: u64) {
    let track = &waiting.track;
    let arms = track.layout.of_unit(waiting.variant.into(), waiting.slot);
    let place = Place { arms: &arms, bucket: bucket(waiting.unit), at: waiting.at };
    if let Some(series) = track.labelled {
        sums.add_late(place, series, Cell { weight: waiting.predictions.rows().len() as f64, sum: 0.0 }, now);
    }
    let Some(default) = track.experiment.plan.default_label else { return };
    for predicted in waiting.predictions.rows() {
        each_score(waiting, *predicted, default, |series, value| {
            sums.add_late(place, series, Cell { weight: 1.0, sum: value }, now);
        });
    }
}

/// Counts the actual of a row.
pub(super) fn join(waiting: &mut Waiting, row: usize, actual: f64, sums: &mut Sums, now: u64) -> Joined {
    let Some(predicted) = waiting.predictions.rows().get(row).copied() else { return Joined::Invalid };
    let before = waiting.actuals.as_ref().and_then(|actuals| actuals[row]);
    if before == Some(actual) {
        return Joined::Duplicate;
    }
    let track = waiting.track.clone();
    let arms = track.layout.of_unit(waiting.variant.into(), waiting.slot);
    let place = Place { arms: &arms, bucket: bucket(waiting.unit), at: waiting.at };
    let mut late = false;
    if let Some(series) = track.labelled.filter(|_| before.is_none()) {
        late |= !sums.add_late(place, series, Cell { weight: 0.0, sum: 1.0 }, now);
    }
    // What counted so far is taken out: another actual, or the one that is assumed where none comes.
    let assumed = before.or(track.experiment.plan.default_label);
    if let Some(assumed) = assumed {
        each_score(waiting, predicted, assumed, |series, value| {
            late |= !sums.add_late(place, series, Cell { weight: -1.0, sum: -value }, now);
        });
    }
    each_score(waiting, predicted, actual, |series, value| {
        late |= !sums.add_late(place, series, Cell { weight: 1.0, sum: value }, now);
    });
    if late {
        return Joined::Late;
    }
    let rows = waiting.predictions.rows().len();
    waiting.actuals.get_or_insert_with(|| vec![None; rows].into())[row] = Some(actual);
    if before.is_some() { Joined::Corrected } else { Joined::Ok }
}

fn each_score(waiting: &Waiting, predicted: Predicted, actual: f64, mut take: impl FnMut(usize, f64)) {
    for (series, score) in &waiting.track.scores {
        if let Some(value) = score.value(predicted, actual) {
            take(*series, value);
        }
    }
}
