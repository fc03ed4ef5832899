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

/// What is wrong with the latest rows, feature by feature.
pub fn problems(reference: &Reference, rows: &Counts) -> Vec<Problem> {
    if rows.rows < MIN_ROWS {
        return Vec::new();
    }
    // The prediction, which is the last, is what a model makes of its features.
    let watched = reference.features.len().saturating_sub(1);
    let features = reference.features.iter().zip(rows.features(reference)).take(watched);
    features
        .flat_map(|(profile, (cells, tally))| of(profile, cells, tally, rows.rows, reference.rows))
        .collect()
}

fn of(profile: &Profile, cells: &[u64], tally: &Tally, rows: u64, reference: u64) -> Vec<Problem> {
    let all = rows as f64;
    let problem =
        |kind, share: f64, detail: String| Problem { feature: profile.name.clone(), kind, share, detail };
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut found = Vec::new();
    let (missing, before) = (cells[0] as f64 / all, profile.missing as f64 / reference.max(1) as f64);
    if cells[0] >= 5 && missing > before + MISSING {
        let detail =
            format!("{} of the values are missing, {} in the reference", percent(missing), percent(before));
        found.push(problem("missing", missing, detail));
    }
    match &profile.shape {
        Shape::Number { mean, deviation, low, high, .. } => {
            if tally.infinite > 0 {
                let share = tally.infinite as f64 / all;
                found.push(problem("infinite", share, format!("{} infinite values", tally.infinite)));
            }
            let beyond = tally.beyond as f64 / tally.finite.max(1) as f64;
            if let Some(factor) = unit(tally, *mean, *deviation) {
                found.push(problem(
                    "unit",
                    1.0,
                    match factor {
                        up if up > 1.0 => {
                            format!("values are about {up:.0} times as large as in the reference")
                        }
                        down => format!("values are about a {:.0}th of those in the reference", 1.0 / down),
                    },
                ));
            } else if tally.beyond >= 5 && beyond > BEYOND {
                let (least, most) = (tally.low, tally.high);
                let detail = format!(
                    "{} of the values are beyond {low:.6} to {high:.6}: {least:.6} to {most:.6}",
                    percent(beyond)
                );
                found.push(problem("range", beyond, detail));
            }
        }
        Shape::Category { known, counts } => {
            // Beyond as many categories as have cells nobody knows what is new.
            let unseen = if counts.last() == Some(&0) { cells[1 + known.len()] } else { 0 };
            let share = unseen as f64 / all;
            if unseen >= 2 && share > UNSEEN {
                let detail =
                    format!("{} of the values are categories that the reference has not", percent(share));
                found.push(problem("unseen_category", share, detail));
            }
        }
    }
    if rows >= STILL && tally.is_constant() && cells[0] == 0 && varied(profile) {
        found.push(problem("constant", 1.0, "every row has the same value".into()));
    }
    found
}

/// Whether a column of as many rows would not stand still by chance: no cell of its reference has nine in ten.
fn varied(profile: &Profile) -> bool {
    let counts = profile.counts();
    let all: u64 = counts.iter().sum();
    counts.iter().all(|count| (*count as f64) < 0.9 * all as f64)
}

/// By which factor between units the sizes of values have changed, such as metres for kilometres or hours for seconds.
fn unit(tally: &Tally, mean: f64, deviation: f64) -> Option<f64> {
    let now = tally.mean(mean)?;
    // Where values lie around zero their mean says nothing of their size.
    if tally.finite < MIN_ROWS || mean == 0.0 || mean.abs() < deviation / 2.0 {
        return None;
    }
    let power = (now / mean).log10();
    let near = |factor: &&f64| (power.abs() - factor.log10()).abs() <= NEAR;
    let factor = UNITS.iter().find(near)?;
    Some(if power > 0.0 { *factor } else { 1.0 / factor })
}
