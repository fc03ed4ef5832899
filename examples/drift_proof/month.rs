//! A thousand features that follow the clock and do not drift, for thirty days.

use sidegate::drift::{Counts, Hours, Limits, Reference, Shape, evaluate};
use sidegate::stats::{special, tails};

use crate::Proof;
use crate::parallel;
use crate::rng::Rng;
use crate::watched::reference;

/// Rows of an hour.
const HOUR_ROWS: f64 = 2048.0;
/// False alarms that windows may raise in thirty days, of the one of a version: the detector has the rest.
const BUDGET: f64 = 0.05;

/// The mean of a feature at an hour: up to a standard deviation up and down in a day, and weekends apart.
fn mean(feature: usize, hour: u64) -> f64 {
    let phase = feature as f64 / 7.0 + (hour % 24) as f64 / 24.0;
    let weekend = if hour / 24 % 7 >= 5 { 0.5 } else { 0.0 };
    (std::f64::consts::TAU * phase).sin() * (0.2 + 0.8 * (feature % 5) as f64 / 4.0) + weekend
}

/// Poisson (Hörmann's PTRS 1993; by products where the mean is small).
fn poisson(mean: f64, rng: &mut Rng) -> u32 {
    if mean < 10.0 {
        let (limit, mut product, mut count) = ((-mean).exp(), rng.uniform(), 0);
        while product > limit {
            product *= rng.uniform();
            count += 1;
        }
        return count;
    }
    let (b, ln) = (0.931 + 2.53 * mean.sqrt(), mean.ln());
    let (a, inverse) = (-0.059 + 0.024_83 * b, 1.1239 + 1.1328 / (b - 3.4));
    loop {
        let (u, v) = (rng.uniform() - 0.5, rng.uniform());
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2.0) {
            return k as u32;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if (v * inverse / (a / (us * us) + b)).ln() <= k * ln - mean - special::ln_gamma(k + 1.0) {
            return k as u32;
        }
    }
}

/// What an hour brings, cell by cell.
fn hour(reference: &Reference, hour: u64, rng: &mut Rng) -> Counts {
    let mut cells = Vec::with_capacity(reference.cells());
    for (feature, profile) in reference.features.iter().enumerate() {
        cells.push(0);
        let Shape::Number { edges, .. } = &profile.shape else { continue };
        let (mean, mut above) = (mean(feature, hour), 1.0);
        for edge in edges.iter().chain([&f64::INFINITY]) {
            let next = tails::norm_sf(edge - mean);
            cells.push(poisson(HOUR_ROWS * (above - next), rng));
            above = next;
        }
    }
    Counts::of_cells(reference, HOUR_ROWS as u64, cells).expect("as many cells as the reference has")
}

/// How often windows of hours were beyond the limits: held against last week's hour, and against what was learned in the
/// first hour.
fn run(seed: u64, features: usize, days: u64) -> [u64; 2] {
    let mut rng = Rng::new(seed);
    let columns: Vec<Vec<f64>> =
        (0..features).map(|feature| (0..2000).map(|_| mean(feature, 0) + rng.normal()).collect()).collect();
    let learned = reference(&columns);
    let mut hours = Hours::default();
    let mut told = [0; 2];
    // Half of the budget is for predictions.
    let limits = Limits { alpha: BUDGET / 2.0 / (24 * days) as f64 };
    let beyond = |reference: &Reference, window: &Counts| {
        u64::from(evaluate(reference, window, limits).features.iter().any(|drift| drift.beyond))
    };
    // A week to learn hours, then what is counted.
    for at in 0..(7 + days) * 24 {
        let window = hour(&learned, at, &mut rng);
        if let Some(reference) = hours.reference(at, &learned) {
            told[0] += beyond(&reference, &window);
            if at < 8 * 24 {
                told[1] += beyond(&learned, &window);
            }
        }
        hours.put(at, &window);
    }
    told
}

pub(crate) fn prove(proof: &mut Proof) {
    let (runs, features, days) = if proof.short { (4, 50, 3) } else { (200, 1000, 30) };
    let all = parallel(runs, |number| run(100_000_000 + u64::from(number), features, days));
    let with = all.iter().filter(|told| told[0] > 0).count();
    let plain: u64 = all.iter().map(|told| told[1]).sum();
    let share = with as f64 / f64::from(runs);
    proof.say(&format!(
        "{features} features, {days} days of hourly windows of {HOUR_ROWS} rows, {runs} runs; the same hour of last week as the reference:"
    ));
    proof.say(&format!("runs with any window beyond the limits, even once: {with} ({:.1} %)", 100.0 * share));
    proof.say(&format!(
        "held against what was learned in the first hour instead: {:.1} of the 24 windows of a day",
        plain as f64 / f64::from(runs)
    ));
    proof.hold(&format!("runs with an alert of a window: {share}"), share <= 0.05);
}
