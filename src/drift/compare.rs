//! A window against its reference: how far apart, and whether that is more than chance.

use serde::Serialize;

use super::reference::{Profile, Reference, Shape};
use super::window::{Counts, Tally};
use crate::stats::{Lack, MIN_WINDOW, chi2, divergence, ks, multiplicity};

const MONTH_MILLIS: f64 = 30.0 * 86_400_000.0;

/// What a difference has to be to count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The chance, per evaluation, of calling something drifted that has not; p-values are adjusted for the number of
    /// features (Benjamini-Hochberg).
    pub alpha: f64,
}

impl Limits {
    /// Of evaluations as many milliseconds apart, of which so many in thirty days may be wrong. Features and the prediction
    /// share them.
    pub fn of(false_alarms: f64, apart: f64) -> Self {
        Self { alpha: (false_alarms * apart / MONTH_MILLIS / 2.0).clamp(1e-12, 0.05) }
    }
}

/// The least effects that count, each of its own kind: with a million rows every p-value is 0.
const FLOOR_KS: f64 = 0.05;
const FLOOR_PSI: f64 = 0.1;
const FLOOR_JS: f64 = 0.1;
const FLOOR_V: f64 = 0.1;

/// A window, feature by feature.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Rows of the window.
    pub rows: u64,
    /// Rows of the reference.
    pub reference_rows: u64,
    /// Feature by feature, in the order of the reference.
    pub features: Vec<Drift>,
    /// What was predicted, a family of its own.
    pub prediction: Option<Drift>,
}

/// How one feature differs.
#[derive(Clone, Debug, Serialize)]
pub struct Drift {
    /// Its name.
    pub feature: String,
    /// `ok`, or what is lacking for a result.
    pub status: &'static str,
    /// The largest difference of cumulated shares (numbers): at least that of the values, at most one bin more.
    pub ks: Option<f64>,
    /// χ² of the two rows of counts, categories or bins.
    pub chi2: Option<f64>,
    /// The population stability index, in nats, and its p-value.
    pub psi: Option<Psi>,
    /// Jensen-Shannon's distance, base 2.
    pub js: Option<f64>,
    /// Cramér's V.
    pub cramers_v: Option<f64>,
    /// The difference of means by the reference's standard deviation (numbers).
    pub mean_shift: Option<f64>,
    /// The founding document's statistic: `ks` of numbers, `chi2` of categories.
    pub statistic: Option<f64>,
    /// Its p-value, at one look; for numbers the smaller one of KS and χ², twice.
    pub p_value: Option<f64>,
    /// The same among all features.
    pub p_adjusted: Option<f64>,
    /// The founding document's word: whether that p-value is below 0.05. Alerts ask for more.
    pub drift_detected: bool,
    /// The largest effect, as a multiple of the least that counts.
    pub effect: f64,
    /// Whether it is beyond the limits of an alert.
    pub beyond: bool,
}

/// The population stability index with its p-value.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Psi {
    /// Σ (q − p) ln(q/p).
    pub value: f64,
    /// The chance of as much without drift.
    pub p: f64,
}

/// Holds a window against its reference.
pub fn evaluate(reference: &Reference, window: &Counts, limits: Limits) -> Evaluation {
    let features = reference.features.iter().zip(window.features(reference));
    let mut all: Vec<Drift> = features.map(|(profile, (cells, tally))| of(profile, cells, tally)).collect();
    let mut prediction = all.pop();
    adjust(&mut all, limits);
    if let Some(prediction) = &mut prediction {
        adjust(std::slice::from_mut(prediction), limits);
    }
    Evaluation { rows: window.rows, reference_rows: reference.rows, features: all, prediction }
}

/// Adjusts the p-values of a family and says what is beyond the limits.
fn adjust(family: &mut [Drift], limits: Limits) {
    let with: Vec<usize> = (0..family.len()).filter(|at| family[*at].p_value.is_some()).collect();
    let p: Vec<f64> = with.iter().filter_map(|at| family[*at].p_value).collect();
    for (at, adjusted) in with.into_iter().zip(multiplicity::benjamini_hochberg(&p)) {
        let drift = &mut family[at];
        drift.p_adjusted = Some(adjusted);
        drift.beyond = adjusted < limits.alpha && drift.effect >= 1.0;
    }
}

fn of(profile: &Profile, cells: &[u32], tally: &Tally) -> Drift {
    match compared(profile, cells, tally) {
        Ok(drift) => drift,
        Err(lack) => nothing(profile, lack.name()),
    }
}

fn nothing(profile: &Profile, status: &'static str) -> Drift {
    Drift {
        feature: profile.name.clone(),
        status,
        ks: None,
        chi2: None,
        psi: None,
        js: None,
        cramers_v: None,
        mean_shift: None,
        statistic: None,
        p_value: None,
        p_adjusted: None,
        drift_detected: false,
        effect: 0.0,
        beyond: false,
    }
}

fn compared(profile: &Profile, cells: &[u32], tally: &Tally) -> Result<Drift, Lack> {
    // What is missing is a matter of quality.
    let reference = &profile.counts()[1..];
    let current: Vec<u64> = cells[1..].iter().map(|count| u64::from(*count)).collect();
    let current = current.as_slice();
    let (n, m) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    if n == 0 {
        return Err(Lack::NoReference);
    }
    if m < MIN_WINDOW as u64 {
        return Err(Lack::InsufficientData);
    }
    let psi = divergence::psi(reference, current)?;
    let bits = divergence::divergence(reference, current)?.js / std::f64::consts::LN_2;
    let js = bits.sqrt();
    // Without drift the divergence of so few values is this on average.
    let chance =
        (current.len() - 1) as f64 * (1.0 / n as f64 + 1.0 / m as f64) / 8.0 / std::f64::consts::LN_2;
    let test = chi2::drift(reference, current)?;
    let (ks, mean_shift) = match &profile.shape {
        Shape::Number { mean, deviation, .. } => {
            let shift = tally.mean(*mean).map(|now| now - mean);
            let shift = shift.filter(|_| *deviation > 0.0).map(|shift| shift / deviation);
            (Some(largest_step(reference, current)), shift.filter(|shift| shift.is_finite()))
        }
        Shape::Category { .. } => (None, None),
    };
    let (statistic, p_value) = match ks {
        Some(d) => (d, (2.0 * ks::quick(d, n, m).min(test.p)).min(1.0)),
        None => (test.statistic, test.p),
    };
    let effects = [
        ks.unwrap_or(0.0) / FLOOR_KS,
        // An index of a small window is chance.
        if psi.p < 0.01 { psi.psi / FLOOR_PSI } else { 0.0 },
        (bits - chance).max(0.0).sqrt() / FLOOR_JS,
        if ks.is_none() { test.cramers_v / FLOOR_V } else { 0.0 },
    ];
    Ok(Drift {
        ks,
        chi2: Some(test.statistic),
        psi: Some(Psi { value: psi.psi, p: psi.p }),
        js: Some(js),
        cramers_v: Some(test.cramers_v),
        mean_shift,
        statistic: Some(statistic),
        p_value: Some(p_value),
        drift_detected: p_value < 0.05,
        effect: effects.into_iter().fold(0.0, f64::max),
        ..nothing(profile, "ok")
    })
}

/// The largest difference of cumulated shares.
fn largest_step(reference: &[u64], current: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (n, m) = (total(reference), total(current));
    let (mut below, mut largest) = ((0, 0), 0.0_f64);
    for (a, b) in reference.iter().zip(current) {
        below = (below.0 + a, below.1 + b);
        largest = largest.max((below.0 as f64 / n - below.1 as f64 / m).abs());
    }
    largest
}
