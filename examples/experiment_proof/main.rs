//! Proves what experiments claim, by simulation: false alarms under constant peeking, power, alarms, canaries, replicas.
//!
//! `cargo run --release --example experiment_proof` prints tables; `-- --short` takes fewer runs and ends with an error
//! where a limit is broken. Seeds are fixed, so figures come again.

mod canary;
mod keys;
mod peeking;
mod replicas;
mod rng;
mod sample_ratio;

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use sidegate::experiment::{Definition, Track};

/// How much of it is run, and what came out wrong.
pub(crate) struct Proof {
    pub(crate) short: bool,
    broken: Vec<String>,
}

impl Proof {
    /// Simulated runs: all, or the short form's.
    pub(crate) fn runs(&self, all: u32, short: u32) -> u32 {
        if self.short { short } else { all }
    }

    /// Prints a line.
    pub(crate) fn say(&self, line: &str) {
        drop(writeln!(std::io::stdout(), "{line}"));
    }

    /// Holds a figure against its limit.
    pub(crate) fn hold(&mut self, what: &str, holds: bool) {
        if !holds {
            self.broken.push(what.to_owned());
        }
    }
}

/// An experiment of two variants of the same width, with whatever else `edit` defines.
pub(crate) fn track(edit: impl FnOnce(&mut Definition)) -> Track {
    let mut definition = Definition {
        model: "m".parse().ok(),
        unit: "header:u".parse().ok(),
        variants: [("a", "1"), ("b", "2")]
            .map(|(name, serve)| (name.into(), serve.parse().expect("a version")))
            .into(),
        planned_units: 5000,
        confidence: "95%".parse().expect("a share"),
        ..Definition::default()
    };
    edit(&mut definition);
    let experiment = definition.check(&"e".parse().expect("a name"));
    Track::new(experiment.expect("a definition that holds together"), vec![Some(1), Some(2)])
}

/// A part of the proof.
type Part = fn(&mut Proof);

const PARTS: &[(&str, Part)] = &[
    ("peeking", peeking::false_alarms),
    ("power", peeking::power),
    ("sample-ratio", sample_ratio::prove),
    ("canary", canary::prove),
    ("replicas", replicas::prove),
    ("keys", keys::prove),
];

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| *flag != "--short") {
        let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        return Err(
            format!("unknown {flag}; usage: experiment_proof [--short] [{}]…", parts.join("|")).into()
        );
    }
    let mut proof = Proof { short: !flags.is_empty(), broken: Vec::new() };
    for (name, part) in PARTS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name)) {
        let start = Instant::now();
        proof.say(&format!("\n## {name}"));
        part(&mut proof);
        proof.say(&format!("({:.1} s)", start.elapsed().as_secs_f64()));
    }
    if proof.broken.is_empty() {
        Ok(())
    } else {
        Err(format!("out of its limits: {}", proof.broken.join("; ")).into())
    }
}

/// The upper end of the exact 99 % interval of a share (Clopper and Pearson), by bisection of the binomial's tail.
pub(crate) fn upper_limit(hits: u32, runs: u32) -> f64 {
    let tail = |p: f64| {
        // P(X ≤ hits), from the largest term outwards in logarithms.
        let ln_choose: Vec<f64> = (0..=hits)
            .scan(0.0_f64, |sum, k| {
                if k > 0 {
                    *sum += (f64::from(runs - k + 1) / f64::from(k)).ln();
                }
                Some(*sum)
            })
            .collect();
        let term = |(k, ln): (usize, &f64)| {
            (ln + k as f64 * p.ln() + (f64::from(runs) - k as f64) * (1.0 - p).ln()).exp()
        };
        ln_choose.iter().enumerate().map(term).sum::<f64>()
    };
    let (mut low, mut high) = (f64::from(hits) / f64::from(runs), 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if tail(middle) > 0.005 { low = middle } else { high = middle }
    }
    high
}
