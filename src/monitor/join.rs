//! An actual meets its prediction.

use super::pending::{Actual, Waiting};
use super::performance::{Performance, Revised, Row};
use super::record::Record;
use crate::experiment::sums::{Cell, Place, Sums, bucket};
use crate::experiment::{Predicted, Track};

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
pub(super) fn expect(track: &Track, record: &Record, sums: &mut Sums, now: u64) {
    let arms = track.layout.of_unit(record.variant.into(), record.slot);
    let place = Place { arms: &arms, bucket: bucket(record.unit), at: record.at };
    if let Some(series) = track.labelled {
        sums.add_late(place, series, Cell { weight: record.predictions.rows().len() as f64, sum: 0.0 }, now);
    }
    let Some(default) = track.experiment.plan.default_label else { return };
    for predicted in record.predictions.rows() {
        each_score(track, *predicted, default, |series, value| {
            sums.add_late(place, series, Cell { weight: 1.0, sum: value }, now);
        });
    }
}

/// Counts the actual of a row: in the version's performance, and in the `sums` of an experiment that it takes part in.
pub(super) fn join(
    waiting: &mut Waiting,
    row: usize,
    value: f64,
    sums: Option<&mut Sums>,
    performance: &mut Performance,
    now: u64,
) -> Joined {
    let Some(predicted) = waiting.predictions.rows().get(row).copied() else { return Joined::Invalid };
    let before = waiting.actuals.as_ref().and_then(|actuals| actuals[row]);
    if before.is_some_and(|before| before.value == value) {
        return if before.is_some_and(|before| before.late) { Joined::Late } else { Joined::Duplicate };
    }
    // Who did not count it has nothing to take back.
    let counted = before.filter(|before| before.counted).map(|before| before.value);
    let told = Row { at: waiting.at, predicted, own: waiting.own };
    let performed = performance.revise(waiting.version, told, counted, value, now);
    let mut late = performed == Revised::Late;
    if let (Some(track), Some(sums)) = (waiting.track.clone(), sums) {
        let before = before.map(|before| before.value);
        // An experiment does not wait as long, and says so.
        late = !score(&track, waiting, predicted, before, value, sums, now);
    }
    let rows = waiting.predictions.rows().len();
    let actual = Actual { value, counted: performed == Revised::Counted, late };
    waiting.actuals.get_or_insert_with(|| vec![None; rows].into())[row] = Some(actual);
    match (late, before) {
        (true, _) => Joined::Late,
        (false, Some(_)) => Joined::Corrected,
        (false, None) => Joined::Ok,
    }
}

/// Counts an actual in the sums of an experiment; false where its horizon is over.
fn score(
    track: &Track,
    waiting: &Waiting,
    predicted: Predicted,
    before: Option<f64>,
    actual: f64,
    sums: &mut Sums,
    now: u64,
) -> bool {
    let arms = track.layout.of_unit(waiting.variant.into(), waiting.slot);
    let place = Place { arms: &arms, bucket: bucket(waiting.unit), at: waiting.at };
    let mut late = false;
    if let Some(series) = track.labelled.filter(|_| before.is_none()) {
        late |= !sums.add_late(place, series, Cell { weight: 0.0, sum: 1.0 }, now);
    }
    // What counted so far is taken out: another actual, or the one that is assumed where none comes.
    let assumed = before.or(track.experiment.plan.default_label);
    if let Some(assumed) = assumed {
        each_score(track, predicted, assumed, |series, value| {
            late |= !sums.add_late(place, series, Cell { weight: -1.0, sum: -value }, now);
        });
    }
    each_score(track, predicted, actual, |series, value| {
        late |= !sums.add_late(place, series, Cell { weight: 1.0, sum: value }, now);
    });
    !late
}

fn each_score(track: &Track, predicted: Predicted, actual: f64, mut take: impl FnMut(usize, f64)) {
    for (series, score) in &track.scores {
        if let Some(value) = score.value(predicted, actual) {
            take(*series, value);
        }
    }
}
