//! How soon a change is found, and how often there is none.

use sidegate::drift::detector::Thresholds;

use crate::Proof;
use crate::known;
use crate::parallel;
use crate::rng::Rng;
use crate::streams::{CHANGES, Change, LEARNED, Stream};
use crate::watched::{self, Watched, reference};

/// Values per false alarm of the first table: 1.5 in 100,000.
const RUN: f64 = 100_000.0 / 1.5;
/// Rows that come in thirty days at 100 a second.
const MONTH_ROWS: f64 = 100.0 * 86_400.0 * 30.0;
/// Of a budget, what the detector has; the rest is for windows.
const SHARE: f64 = 0.95;

/// What one stream showed.
struct Found {
    /// Whether there was an alarm before the change.
    early: bool,
    /// Values from the change to the alarm; none where one was on already.
    delay: Option<usize>,
    missed: bool,
}

fn watch(change: &Change, thresholds: &Thresholds, seed: u64) -> Found {
    let mut stream = Stream::new(change, seed);
    let learned = stream.learned();
    let at = stream.change;
    let mut watched = Watched::new(reference(&[learned]), thresholds.clone());
    let mut early = false;
    let mut on = false;
    for (number, value) in stream.enumerate() {
        let raised = watched.push([value]) > 0;
        if number < at {
            early |= raised;
            on = watched.is_on();
        } else if raised || (on && watched.is_on()) {
            return Found { early, delay: (!on).then_some(number + 1 - at), missed: false };
        } else {
            on = watched.is_on();
        }
    }
    Found { early, delay: None, missed: true }
}

/// One table of delays; the share of streams with an alarm before the change. `run` is how many values there are to a false
/// alarm; the goals are judged where they were set.
fn table(proof: &mut Proof, thresholds: &Thresholds, run: f64, streams: u32, judge: bool) {
    proof.say(
        "| change | goal | median delay | of one that knows the change | p90 | missed | alarm before the change |\n|---|---|---|---|---|---|---|",
    );
    for (row, change) in CHANGES.iter().enumerate() {
        let seed = |run: u32| 40_000_000 + 1_000_000 * row as u64 + u64::from(run);
        let all = parallel(streams, |number| watch(change, thresholds, seed(number)));
        let known = if judge { known::delay(change, run, streams) } else { None };
        let mut delays: Vec<usize> = all.iter().filter_map(|found| found.delay).collect();
        let missed = all.iter().filter(|found| found.missed).count();
        delays.resize(delays.len() + missed, usize::MAX);
        delays.sort_unstable();
        let rank = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied();
        let shown = |delay: Option<usize>| match delay {
            Some(usize::MAX) | None => "–".to_owned(),
            Some(delay) => delay.to_string(),
        };
        let early = all.iter().filter(|found| found.early).count() as f64 / f64::from(streams);
        let goal = change.goal.filter(|_| judge);
        proof.say(&format!(
            "| {} | {} | {} | {} | {} | {missed} | {:.1} % |",
            change.name,
            shown(goal),
            shown(rank(0.5)),
            shown(known),
            shown(rank(0.9)),
            100.0 * early
        ));
        // The last ones hold for what is named in the goals; few streams cannot show it to the value.
        let slack = if proof.short { 1.25 } else { 1.0 };
        if let Some(goal) = goal.filter(|_| !change.name.contains("peaks")) {
            let median = rank(0.5).unwrap_or(usize::MAX);
            proof.hold(
                &format!("{}: {median}", change.name),
                median as f64 <= goal as f64 * slack && missed == 0,
            );
        }
    }
}

pub(crate) fn delays(proof: &mut Proof) {
    let thresholds = Thresholds::new(Thresholds::evidence_of(RUN, LEARNED as u64));
    let runs = proof.runs(400, 16);
    let null = parallel(runs, |run| {
        watched::uniform_null(50_000_000 + u64::from(run), 4, LEARNED, 100_000, &thresholds)
    });
    let (alarms, values) = (null.iter().sum::<u64>(), f64::from(runs) * 4.0 * 1e5);
    let rate = alarms as f64 / values * 1e5;
    proof.say(&format!(
        "reference {LEARNED}, threshold {:.2} (-ln p); without change {alarms} alarms in {values:.1e} values: {rate:.2} per 100,000\n",
        thresholds.evidence
    ));
    proof.hold(&format!("alarms without change: {rate:.2}"), rate <= if proof.short { 3.0 } else { 1.575 });
    table(proof, &thresholds, RUN, proof.runs(4000, 150), true);
}

/// The default budget: one false alarm of a version in thirty days.
pub(crate) fn budget(proof: &mut Proof) {
    for features in [10.0, 100.0] {
        let run = MONTH_ROWS * features / SHARE;
        let thresholds = Thresholds::new(Thresholds::evidence_of(run, LEARNED as u64));
        proof.say(&format!(
            "\none false alarm in 30 days at 100 rows/s over {features} features ({run:.1e} values): threshold {:.2}\n",
            thresholds.evidence
        ));
        table(proof, &thresholds, run, proof.runs(1000, 30), false);
    }
    // Ten features for as long as is worth waiting for.
    let run = MONTH_ROWS * 10.0 / SHARE;
    let thresholds = Thresholds::new(Thresholds::evidence_of(run, LEARNED as u64));
    let (runs, values) = (proof.runs(480, 2), if proof.short { 50_000 } else { 2_000_000 });
    let alarms: u64 = parallel(runs, |seed| {
        watched::uniform_null(60_000_000 + u64::from(seed), 10, LEARNED, values, &thresholds)
    })
    .iter()
    .sum();
    let all = f64::from(runs) * 10.0 * values as f64;
    proof.say(&format!(
        "\nwithout change: {alarms} alarms in {all:.1e} values, {:.1} would be in the budget",
        all / run
    ));
    // Poisson's upper end of what the budget allows.
    let most = all / run + 3.0 * (all / run).sqrt() + 1.0;
    proof.hold(&format!("alarms at the default budget: {alarms}"), alarms as f64 <= most);
}

/// Thresholds against what they give, by rows of the reference and by law.
pub(crate) fn calibration(proof: &mut Proof) {
    proof.say("alarms without change by those that were asked for, uniform values\n");
    proof.say("| reference | 1 in 2·10^4 | 1 in 2·10^5 | 1 in 2·10^6 |\n|---|---|---|---|");
    let runs = proof.runs(30, 4);
    let length = if proof.short { 50_000 } else { 500_000 };
    for (row, learned) in [200, 500, 1000, 2000, 10_000].into_iter().enumerate() {
        let mut line = format!("| {learned} |");
        for (column, run) in [2e4, 2e5, 2e6].into_iter().enumerate() {
            let thresholds = Thresholds::new(Thresholds::evidence_of(run, learned as u64));
            let seed = |number: u32| 70_000_000 + 100_000 * (row * 3 + column) as u64 + u64::from(number);
            let alarms: u64 = parallel(runs, |number| {
                watched::uniform_null(seed(number), 16, learned, length, &thresholds)
            })
            .iter()
            .sum();
            let ratio = alarms as f64 * run / (f64::from(runs) * 16.0 * length as f64);
            line += &format!(" {ratio:.2} |");
            // Rare ones come in clusters: an unlucky reference is so for good.
            proof.hold(
                &format!("calibration {learned} at {run:.0e}: {ratio:.2}"),
                ratio <= if proof.short { 8.0 } else { 2.0 },
            );
        }
        proof.say(&line);
    }
    proof.say("\nthe same of other laws and of values that follow from those before them, reference 2000, 1 in 2·10^5\n");
    proof.say("| law | alarms by those asked for |\n|---|---|");
    for (row, (name, draw)) in LAWS.iter().enumerate() {
        let thresholds = Thresholds::new(Thresholds::evidence_of(2e5, LEARNED as u64));
        let alarms: u64 = parallel(runs, |number| {
            let mut rng = Rng::new(80_000_000 + 100_000 * row as u64 + u64::from(number));
            // A feature of its own each, as one value leads to the next.
            (0..4)
                .map(|_| {
                    let mut state = 0.0;
                    watched::null(1, LEARNED, length, &thresholds, || {
                        state = draw(&mut rng, state);
                        state
                    })
                })
                .sum::<u64>()
        })
        .iter()
        .sum();
        let ratio = alarms as f64 * 2e5 / (f64::from(runs) * 4.0 * length as f64);
        proof.say(&format!("| {name} | {ratio:.2} |"));
        proof.hold(&format!("{name}: {ratio:.2}"), ratio <= if proof.short { 12.0 } else { 3.0 });
    }
}

/// The next value, from the one before.
type Law = fn(&mut Rng, f64) -> f64;

const LAWS: &[(&str, Law)] = &[
    ("normal", |rng, _| rng.normal()),
    ("lognormal(0,2)", |rng, _| (2.0 * rng.normal()).exp()),
    ("Cauchy", |rng, _| rng.normal() / rng.normal()),
    ("0 in half, else exponential", |rng, _| if rng.uniform() < 0.5 { 0.0 } else { rng.exponential() }),
    ("0 to 5, evenly", |rng, _| (rng.word() % 6) as f64),
    ("1 in 50 %", |rng, _| f64::from(rng.uniform() < 0.5)),
    ("1 in 2 %", |rng, _| f64::from(rng.uniform() < 0.02)),
    ("1 in 0.2 %", |rng, _| f64::from(rng.uniform() < 0.002)),
    ("normal, autoregression 0.5", |rng, before| 0.5 * before + 0.75_f64.sqrt() * rng.normal()),
    ("normal, autoregression 0.9", |rng, before| 0.9 * before + 0.19_f64.sqrt() * rng.normal()),
];
