//! A canary that fails more often, judged by the code that a sidecar runs.

use sidegate::experiment::analysis::Report;
use sidegate::experiment::sums::{Cell, Place, Sums};
use sidegate::experiment::verdict::{Standing, Verb};
use sidegate::experiment::{Kind, Track};

use crate::Proof;
use crate::peeking::parallel;
use crate::rng::Rng;

/// The requests of a canary at which it was rolled back, of at most `limit`.
fn rolled_back(track: &Track, rates: [f64; 2], limit: u32, seed: u64) -> Option<u32> {
    let mut rng = Rng::new(seed);
    let mut sums = Sums::new(&track.layout);
    let mut standing = Standing::default();
    let errors = track.layout.series_of(&Kind::Errors).expect("errors are always counted");
    let mut requests = [0; 2];
    while requests[1] < limit {
        let arm = (rng.word() >> 63) as usize;
        let place = Place { arms: &[arm], bucket: (rng.word() >> 52) as usize, at: 0 };
        sums.arms[arm].units.add(place.bucket, Cell { weight: 1.0, sum: 0.0 });
        sums.arms[arm].requests += 1;
        sums.arms[arm].outputs.push(rng.uniform());
        let failed = rng.uniform() < rates[arm];
        sums.add(place, errors, Cell { weight: 1.0, sum: f64::from(failed) });
        requests[arm] += 1;
        // Nothing else can raise the evidence.
        if failed && arm == 1 {
            let report = Report::of(track, &sums);
            let evidence = standing.look(&track.experiment, &report, 1);
            if let Some(entry) = standing.next(&track.experiment, &evidence)
                && matches!(entry.verb, Verb::Rollback(_))
            {
                return Some(requests[1]);
            }
        }
    }
    None
}

pub(crate) fn prove(proof: &mut Proof) {
    let track = crate::track(|definition| {
        definition.guardrails = vec!["errors".parse().expect("a guardrail")];
    });
    let runs = proof.runs(1000, 100);
    proof.say(&format!(
        "guardrail `errors`, a control of the same width, {runs} runs, at most 400 canary requests\n"
    ));
    proof.say("| base rate | 5 x: rolled back | median requests | 99 % of runs by | healthy: rolled back |\n|---|---|---|---|---|");
    for (row, base) in [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05].into_iter().enumerate() {
        let seed = |run: u32| 9_000_000 + u64::from(run) * 8 + row as u64;
        let bad = parallel(runs, |run| rolled_back(&track, [base, 5.0 * base], 400, seed(run)));
        let healthy = parallel(runs, |run| rolled_back(&track, [base, base], 400, seed(run) + 500_000));
        let mut at: Vec<u32> = bad.iter().flatten().copied().collect();
        at.sort_unstable();
        let share = at.len() as f64 / f64::from(runs);
        let harmless = healthy.iter().flatten().count() as f64 / f64::from(runs);
        let rank = |share: f64| {
            at.get((f64::from(runs) * share).ceil() as usize - 1)
                .map_or_else(|| "–".to_owned(), u32::to_string)
        };
        proof.say(&format!(
            "| {:.2} % | {:.1} % | {} | {} | {:.1} % |",
            100.0 * base,
            100.0 * share,
            rank(0.5),
            rank(0.99),
            100.0 * harmless
        ));
        proof.hold(
            &format!("healthy canary at {base}: {harmless}"),
            harmless <= if proof.short { 0.09 } else { 0.05 },
        );
        if base == 0.02 {
            proof.hold(&format!("canary at {base}: {share}"), share >= if proof.short { 0.95 } else { 0.99 });
        }
    }
}
