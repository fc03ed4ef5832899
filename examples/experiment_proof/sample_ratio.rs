//! Units that do not come as the slots say.

use sidegate::experiment::analysis::Report;
use sidegate::experiment::sums::{Cell, Sums};

use crate::Proof;
use crate::peeking::parallel;
use crate::rng::Rng;

pub(crate) fn prove(proof: &mut Proof) {
    let track = crate::track(|_| ());
    let runs = proof.runs(500, 60);
    proof.say(&format!("planned 50/50, {runs} runs, a look after every 1,000 units\n"));
    proof.say("| real split | alarms by 20,000 units | by 40,000 | by 100,000 |\n|---|---|---|---|");
    for (row, share) in [0.5, 0.51, 0.52, 0.55].into_iter().enumerate() {
        let stop = |run: u32| {
            let mut rng = Rng::new(11_000_000 + u64::from(run) * 4 + row as u64);
            let mut sums = Sums::new(&track.layout);
            (1..=100_u32).find(|_| {
                for _ in 0..1000 {
                    let arm = usize::from(rng.uniform() < share);
                    sums.arms[arm].units.add((rng.word() >> 52) as usize, Cell { weight: 1.0, sum: 0.0 });
                }
                !Report::of(&track, &sums).validity.sample_ratio.ok
            })
        };
        let stops = parallel(runs, stop);
        let by = |limit: u32| {
            stops.iter().flatten().filter(|stop| **stop <= limit).count() as f64 / f64::from(runs)
        };
        proof.say(&format!(
            "| {:.0}/{:.0} | {:.1} % | {:.1} % | {:.1} % |",
            100.0 * share,
            100.0 - 100.0 * share,
            100.0 * by(20),
            100.0 * by(40),
            100.0 * by(100)
        ));
        match share {
            0.5 => proof.hold(&format!("sample ratio of 50/50: {}", by(100)), by(100) <= 0.02),
            0.52 => proof.hold(&format!("sample ratio of 52/48: {}", by(100)), by(100) >= 0.98),
            _ => {}
        }
    }
}
