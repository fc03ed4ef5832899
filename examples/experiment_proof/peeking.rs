//! A/A and A/B with a look after every observation.

use sidegate::experiment::sums::BUCKETS;
use sidegate::stats::sequential::{Arm, ConfidenceSequence};
use sidegate::stats::tails;

use crate::rng::{Law, Rng};
use crate::{Proof, upper_limit};

const ALPHA: f64 = 0.05;
/// Those of a report.
const MIN_UNITS: u64 = sidegate::experiment::analysis::MIN_UNITS;
const MIN_EVENTS: f64 = 5.0;
const PLANNED: f64 = 5000.0;

/// A side as a report sees it, after every observation without going over all buckets.
pub(crate) struct Side {
    cells: Vec<(f64, f64)>,
    pub(crate) units: u64,
    sum: f64,
    weight: f64,
    squares: f64,
    products: f64,
    weights: f64,
}

impl Side {
    pub(crate) fn new() -> Self {
        let cells = vec![(0.0, 0.0); BUCKETS];
        Self { cells, units: 0, sum: 0.0, weight: 0.0, squares: 0.0, products: 0.0, weights: 0.0 }
    }

    pub(crate) fn push(&mut self, bucket: usize, sum: f64, weight: f64) {
        let (s, w) = &mut self.cells[bucket];
        self.squares -= *s * *s;
        self.products -= *s * *w;
        self.weights -= *w * *w;
        *s += sum;
        *w += weight;
        self.squares += *s * *s;
        self.products += *s * *w;
        self.weights += *w * *w;
        self.sum += sum;
        self.weight += weight;
    }

    /// The delta method over buckets: what `stats::ratio` says of them.
    pub(crate) fn arm(&self) -> Arm {
        let (n, mean) = (BUCKETS as f64, self.sum / self.weight);
        let residuals = self.squares - 2.0 * mean * self.products + mean * mean * self.weights;
        let square = residuals.max(0.0) / (n - 1.0) * n / (self.weight * self.weight);
        Arm { n: self.units, mean, variance: square * self.units as f64 }
    }

    fn events(&self) -> f64 {
        self.sum.min(self.weight - self.sum)
    }
}

/// One run's findings: whether each method ever saw a difference, and when the sequence first did.
struct Found {
    anytime: Option<u64>,
    founding: bool,
}

/// How units come.
struct Stream {
    law: Law,
    /// Share of the treatment.
    share: f64,
    units: u32,
    /// What the treatment adds.
    effect: f64,
    /// Most requests of a unit; with more than one they share 30 % of their variance.
    requests: u64,
}

fn run(stream: &Stream, seed: u64) -> Found {
    let mut rng = Rng::new(seed);
    let sequence = ConfidenceSequence::new(ALPHA, PLANNED).expect("a level and a number");
    let mut sides = [Side::new(), Side::new()];
    let mut founding = [Founding::default(); 2];
    let mut found = Found { anytime: None, founding: false };
    for unit in 0..stream.units {
        // The treatment, a cohort of the control of the same width, and the others.
        let place = rng.uniform();
        let treated = place < stream.share;
        let cohort = !treated && place < 2.0 * stream.share;
        let bucket = (rng.word() >> 52) as usize;
        let requests = if stream.requests > 1 { 1 + rng.word() % stream.requests } else { 1 };
        let shared = if stream.requests > 1 { 0.3_f64.sqrt() * rng.normal() } else { 0.0 };
        for request in 0..requests {
            let own =
                if stream.requests > 1 { 0.7_f64.sqrt() * rng.normal() } else { stream.law.draw(&mut rng) };
            let value = shared + own + if treated { stream.effect } else { 0.0 };
            founding[usize::from(treated)].push(value);
            found.founding |= Founding::differ(&founding);
            if treated || cohort {
                let side = &mut sides[usize::from(treated)];
                side.units += u64::from(request == 0);
                side.push(bucket, value, 1.0);
                let enough = |side: &Side| {
                    side.units >= MIN_UNITS && (!stream.law.is_binary() || side.events() >= MIN_EVENTS)
                };
                if found.anytime.is_none()
                    && sides.iter().all(enough)
                    && sequence.look(sides[0].arm(), sides[1].arm()).is_ok_and(|look| look.p < ALPHA)
                {
                    found.anytime = Some(u64::from(unit) + 1);
                }
            }
        }
    }
    found
}

/// The founding document's test: a t-test of all observations with equal variances, from 30 a side on.
#[derive(Clone, Copy, Default)]
struct Founding {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Founding {
    fn push(&mut self, value: f64) {
        self.n += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.m2 += delta * (value - self.mean);
    }

    fn differ([a, b]: &[Self; 2]) -> bool {
        if a.n <= 30.0 || b.n <= 30.0 {
            return false;
        }
        let df = a.n + b.n - 2.0;
        let pooled = (a.m2 + b.m2) / df;
        let t = (a.mean - b.mean).abs() / (pooled * (1.0 / a.n + 1.0 / b.n)).sqrt();
        // Only near the limit is it worth the exact quantile.
        t > 1.95 && (t > 2.1 || t > tails::t_isf2(ALPHA, df))
    }
}

/// False alarms without a difference.
pub(crate) fn false_alarms(proof: &mut Proof) {
    let runs = proof.runs(2000, 100);
    let units = 20_000;
    proof.say(&format!(
        "A/A, {units} units a run, {runs} runs, a look after every observation; false alarms in %"
    ));
    proof.say("(in brackets the upper 99 % limit; behind it the founding t-test)\n");
    proof.say("| law | 1 % | 5 % | 10 % | 50 % |\n|---|---|---|---|---|");
    let clustered = ("normal, 1-20 requests a unit, ICC .3", Law::Normal, 20);
    let rows = Law::ALL.into_iter().map(|(name, law)| (name, law, 1)).chain([clustered]);
    for (row, (name, law, requests)) in rows.enumerate() {
        let mut line = format!("| {name} |");
        for (column, share) in [0.01, 0.05, 0.1, 0.5].into_iter().enumerate() {
            let stream = Stream { law, share, units, effect: 0.0, requests };
            let seed = |run: u32| u64::from(run) * 64 + (row * 4 + column) as u64;
            let all: Vec<Found> = parallel(runs, |number| run(&stream, seed(number)));
            let alarms = all.iter().filter(|found| found.anytime.is_some()).count() as u32;
            let founding = all.iter().filter(|found| found.founding).count();
            let percent = |n: f64| 100.0 * n / f64::from(runs);
            let upper = upper_limit(alarms, runs);
            line += &format!(
                " {:.1} ({:.1}) {:.0} |",
                percent(f64::from(alarms)),
                100.0 * upper,
                percent(founding as f64)
            );
            // A hundred runs cannot show 6.5 % beyond doubt; they can show that something is broken.
            let limit = if proof.short { 0.05 + 0.065 } else { 0.05 };
            let rate = f64::from(alarms) / f64::from(runs);
            proof.hold(
                &format!("A/A {name} at {share}: {alarms} of {runs}"),
                rate <= limit && (proof.short || upper <= 0.065),
            );
        }
        proof.say(&line);
    }
}

/// How often a difference is found, and how soon.
pub(crate) fn power(proof: &mut Proof) {
    let runs = proof.runs(2000, 100);
    proof.say(&format!("50/50, normal, {runs} runs of 20,000 units, a look after every one"));
    proof.say("\n| effect, sd | found | median stop, units |\n|---|---|---|");
    for (column, (effect, least, stop)) in
        [(0.05, 0.75, u64::MAX), (0.1, 0.99, 3200), (0.2, 0.99, 1000)].into_iter().enumerate()
    {
        let stream = Stream { law: Law::Normal, share: 0.5, units: 20_000, effect, requests: 1 };
        let all: Vec<Found> =
            parallel(runs, |number| run(&stream, 7_000_000 + u64::from(number) * 4 + column as u64));
        let mut stops: Vec<u64> = all.iter().filter_map(|found| found.anytime).collect();
        stops.sort_unstable();
        let found = stops.len() as f64 / f64::from(runs);
        let median = stops.get(runs as usize / 2).copied();
        let shown = median.map_or_else(|| "–".to_owned(), |median| median.to_string());
        proof.say(&format!("| {effect} | {found:.3} | {shown} |"));
        let slack = if proof.short { 0.12 } else { 0.0 };
        proof.hold(&format!("power at {effect}: {found}"), found >= least - slack);
        let stop = if proof.short { stop.saturating_add(stop / 4) } else { stop };
        proof.hold(&format!("stop at {effect}: {shown}"), median.unwrap_or(u64::MAX) <= stop);
    }
}

/// Runs spread over the machine's processors, in order.
pub(crate) fn parallel<T: Send>(runs: u32, run: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let mut all: Vec<(u32, T)> = std::thread::scope(|scope| {
        let run = &run;
        let spawn = |thread| {
            scope.spawn(move || {
                (thread..runs)
                    .step_by(threads as usize)
                    .map(|number| (number, run(number)))
                    .collect::<Vec<_>>()
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a run ends")).collect()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, found)| found).collect()
}
