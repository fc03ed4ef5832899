//! Proves what the watching of features claims, by simulation: delays of changes, false alarms, cost.
//!
//! `cargo run --release --example drift_proof` prints tables; `-- --short` takes fewer runs and ends with an error where a
//! limit is broken; `-- streams FILE` writes the streams of the first table for other tools. Seeds are fixed, and other
//! ones than those that the detector was tuned with, so figures come again.

mod cost;
mod delays;
mod known;
mod month;
mod rng;
mod streams;
mod watched;

use std::error::Error;
use std::io::{BufWriter, Write};
use std::time::Instant;

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

/// A part of the proof.
type Part = fn(&mut Proof);

const PARTS: &[(&str, Part)] = &[
    ("delays", delays::delays),
    ("budget", delays::budget),
    ("calibration", delays::calibration),
    ("month", month::prove),
    ("cost", cost::prove),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [part, file, count] = &arguments[..]
        && part == "streams"
    {
        return write_streams(file, count.parse()?);
    }
    let (flags, names): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|arg| arg.starts_with("--"));
    let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    let unknown = flags
        .iter()
        .find(|flag| *flag != "--short")
        .or_else(|| names.iter().find(|name| !parts.contains(&name.as_str())));
    if let Some(unknown) = unknown {
        let parts = parts.join("|");
        return Err(format!(
            "unknown {unknown}; usage: drift_proof [--short] [{parts}]… | streams FILE COUNT"
        )
        .into());
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

/// Writes so many streams of each change for tools in other languages: per change its name in a line; per stream the value
/// at which it changes and how many there are, as `u32`, then reference and values, as `f32`.
fn write_streams(file: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    for (row, change) in streams::CHANGES.iter().enumerate() {
        writeln!(out, "{}", change.name)?;
        out.write_all(&count.to_le_bytes())?;
        for number in 0..count {
            let mut stream =
                streams::Stream::new(change, 40_000_000 + 1_000_000 * row as u64 + u64::from(number));
            let learned = stream.learned();
            let at = stream.change as u32;
            let values: Vec<f64> = stream.collect();
            out.write_all(&at.to_le_bytes())?;
            out.write_all(&(values.len() as u32).to_le_bytes())?;
            for value in learned.iter().chain(&values) {
                out.write_all(&(*value as f32).to_le_bytes())?;
            }
        }
    }
    out.flush()?;
    Ok(())
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
