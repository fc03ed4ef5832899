//! Data that is broken: named at once, with its feature, and without statistics that need much of it.

use serde::Serialize;

use super::reference::{Profile, Reference, Shape};
use super::window::{Counts, Tally};

/// Fewer rows say nothing.
pub const MIN_ROWS: u64 = 20;
/// More unseen categories than this share of rows are told.
const UNSEEN: f64 = 0.005;
/// More values beyond the reference's range than this share.
const BEYOND: f64 = 0.05;
/// More that is missing than in the reference, by this share of rows.
const MISSING: f64 = 0.05;
/// Standard deviations of chance that a share has to be beyond.
const SIGMAS: f64 = 5.0;
/// Rows of a column that stands still while its reference did not.
const STILL: u64 = 100;
/// How many of one unit another is.
const UNITS: [f64; 6] = [10.0, 60.0, 100.0, 1000.0, 3600.0, 1e6];
/// How near a change of size has to be to one of these, in powers of ten.
const NEAR: f64 = 0.1;

/// What is wrong with a feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// The feature.
    pub feature: String,
    /// `missing`, `infinite`, `unseen_category`, `constant`, `unit`, `range`.
    pub kind: &'static str,
    /// The share of rows it concerns.
    pub share: f64,
    /// In words.
    pub detail: String,
}

/// What is wrong with the latest rows, feature by feature; of what was predicted, whether it is a number at all. None where
/// they are too few to say.
pub fn problems(reference: &Reference, rows: &Counts) -> Option<Vec<Problem>> {
    (rows.rows >= MIN_ROWS).then(|| {
        let last = reference.features.len().saturating_sub(1);
        let features = reference.features.iter().zip(rows.features(reference)).enumerate();
        let found = features.flat_map(|(at, (profile, (cells, tally)))| {
            let look = Look { profile, cells, tally, rows: rows.rows, reference: reference.rows };
            let mut found: Vec<Problem> = look.missing().into_iter().chain(look.infinite()).collect();
            if at < last {
                found.extend(look.values());
            }
            found
        });
        found.collect()
    })
}

/// Columns that stand still over a whole window, although their reference did not.
pub fn stuck(reference: &Reference, window: &Counts) -> Vec<Problem> {
    let last = reference.features.len().saturating_sub(1);
    let features = reference.features.iter().zip(window.features(reference)).take(last);
    let still = |(profile, (cells, tally)): (&Profile, (&[u32], &Tally))| {
        let still = window.rows >= STILL && tally.is_constant() && cells[0] == 0 && varied(profile);
        still.then(|| Problem {
            feature: profile.name.clone(),
            kind: "constant",
            share: 1.0,
            detail: format!("all of {} rows have the same value", window.rows),
        })
    };
    features.filter_map(still).collect()
}

/// One feature of the latest rows.
struct Look<'a> {
    profile: &'a Profile,
    cells: &'a [u32],
    tally: &'a Tally,
    rows: u64,
    reference: u64,
}

impl Look<'_> {
    fn problem(&self, kind: &'static str, share: f64, detail: String) -> Problem {
        Problem { feature: self.profile.name.clone(), kind, share, detail }
    }

    fn missing(&self) -> Option<Problem> {
        let (rows, reference) = (self.rows as f64, self.reference.max(1) as f64);
        let (now, before) = (f64::from(self.cells[0]) / rows, self.profile.missing as f64 / reference);
        let chance = (before * (1.0 - before) * (1.0 / rows + 1.0 / reference)).sqrt();
        let much = self.cells[0] >= 5 && now > before + MISSING.max(SIGMAS * chance);
        let detail =
            || format!("{} of the values are missing, {} in the reference", percent(now), percent(before));
        much.then(|| self.problem("missing", now, detail()))
    }

    fn infinite(&self) -> Option<Problem> {
        let (count, share) = (self.tally.infinite, self.tally.infinite as f64 / self.rows as f64);
        (count > 0).then(|| self.problem("infinite", share, format!("{count} infinite values")))
    }

    fn values(&self) -> Option<Problem> {
        let tally = self.tally;
        match &self.profile.shape {
            // Without values in the reference there is nothing to hold them against.
            Shape::Number { counts, .. } if counts.iter().sum::<u64>() == 0 => None,
            Shape::Number { mean, deviation, magnitude, low, high, .. } => {
                let beyond = tally.beyond as f64 / tally.finite.max(1) as f64;
                if let Some(factor) = unit(tally, *mean, *deviation, *magnitude) {
                    let detail = match factor {
                        up if up > 1.0 => {
                            format!("values are about {up:.0} times as large as in the reference")
                        }
                        down => format!("values are about a {:.0}th of those in the reference", 1.0 / down),
                    };
                    return Some(self.problem("unit", 1.0, detail));
                }
                let (least, most) = (tally.low, tally.high);
                let detail = || {
                    let share = percent(beyond);
                    format!("{share} of the values are beyond {low:.6} to {high:.6}: {least:.6} to {most:.6}")
                };
                let much = tally.beyond >= 5 && beyond > BEYOND;
                much.then(|| self.problem("range", beyond, detail()))
            }
            Shape::Category { known, counts } => {
                // Beyond as many categories as have cells nobody knows what is new.
                let unseen = if counts.last() == Some(&0) { self.cells[1 + known.len()] } else { 0 };
                // As many as came once in the reference will come for the first time now (Good and Turing).
                let once = counts.iter().filter(|count| **count == 1).count() as f64;
                let expected = self.rows as f64 * UNSEEN.max(once / self.reference.max(1) as f64);
                let share = f64::from(unseen) / self.rows as f64;
                let much = f64::from(unseen) > expected + SIGMAS * expected.sqrt();
                let detail =
                    || format!("{} of the values are categories that the reference has not", percent(share));
                much.then(|| self.problem("unseen_category", share, detail()))
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Whether a column of as many rows would not stand still by chance: no cell of its reference has nine in ten.
fn varied(profile: &Profile) -> bool {
    let counts = profile.counts();
    let all: u64 = counts.iter().sum();
    counts.iter().all(|count| (*count as f64) < 0.9 * all as f64)
}

/// By which factor between units the sizes of values have changed, such as metres for kilometres or hours for seconds:
/// their mean and, as a few large ones could move that alone, the mean of their logarithms.
fn unit(tally: &Tally, mean: f64, deviation: f64, magnitude: Option<f64>) -> Option<f64> {
    let now = tally.mean(mean)?;
    // Where values lie around zero their mean says nothing of their size.
    if tally.finite < MIN_ROWS || mean == 0.0 || mean.abs() < deviation / 2.0 || tally.magnitude.1 == 0 {
        return None;
    }
    let power = (now / mean).log10();
    let moved = tally.magnitude.0 / tally.magnitude.1 as f64 - magnitude?;
    let near = |factor: &&f64| {
        let wanted = factor.log10().copysign(power);
        (power - wanted).abs() <= NEAR && (moved - wanted).abs() <= 2.0 * NEAR
    };
    let factor = UNITS.iter().find(near)?;
    Some(if power > 0.0 { *factor } else { 1.0 / factor })
}
