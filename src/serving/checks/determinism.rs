//! The same input has the same answer: again, alone or among others, on two threads at once.

use std::time::Instant;

use super::{Finding, Outcome, Terms, answer, batched, rows_of, run as run_once, with_first};
use crate::engine::{Scratch, Session};
use crate::model::Signature;
use crate::serving::admission::Trial;
use crate::serving::golden::{Tolerance, difference};
use crate::serving::probe::gather;
use crate::tensor::{Data, Tensor};

/// Six decimals.
const SIX_DECIMALS: Tolerance = Tolerance { rtol: 0.0, atol: 1e-6 };
/// Rows that are also asked for one by one.
const ALONE: usize = 16;
/// Runs of each thread.
const ROUNDS: usize = 8;

pub(super) fn run(trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
    let started = Instant::now();
    let first = match answer(trial.attempt(terms.sample)) {
        Ok(first) => first,
        Err(why) => {
            return vec![Finding::new("determinism", Err(format!("{}: {why}", terms.sampled())), started)];
        }
    };
    let mut findings = vec![Finding::new("determinism", again(trial, terms, &first), started)];
    findings.push(if batched(trial.signature) {
        let started = Instant::now();
        Finding::new("determinism.alone", alone(trial, terms, &first), started)
    } else {
        Finding::skipped("determinism.alone", "an input has no free first dimension, so no row can be alone")
    });
    let started = Instant::now();
    findings.push(Finding::new("determinism.threads", threads(trial, terms, &first), started));
    findings
}

/// A second run.
fn again(trial: &mut Trial<'_>, terms: &Terms<'_>, first: &[Tensor]) -> Result<String, String> {
    let second = answer(trial.attempt(terms.sample)).map_err(|why| format!("the second run: {why}"))?;
    match same(trial.signature, &second, first)? {
        Same::Bits => Ok(format!("{}, twice: the same bit for bit", terms.sampled())),
        Same::Decimals => Ok(format!("{}, twice: the same to 6 decimals, not bit for bit", terms.sampled())),
    }
}

/// Each of some rows by itself.
fn alone(trial: &mut Trial<'_>, terms: &Terms<'_>, batch: &[Tensor]) -> Result<String, String> {
    let rows = terms.sample.first().map_or(0, Tensor::rows);
    let asked = rows.min(ALONE);
    for row in 0..asked {
        let Some(input) = gather(terms.sample, &[row]) else {
            return Err("the inputs have no rows".to_owned());
        };
        let by_itself = answer(trial.attempt(&input)).map_err(|why| format!("row {row} alone: {why}"))?;
        let within: Vec<Tensor> = batch.iter().map(|output| slice(output, row, rows)).collect();
        if let Some(detail) = trial.differing_scores(&by_itself, &within) {
            return Err(format!("row {row} alone and among {}: {detail}", rows_of(rows)));
        }
    }
    Ok(format!("{} alone: as among {rows}", rows_of(asked)))
}

/// One row of an output that has as many as the input, else the whole output.
fn slice(output: &Tensor, row: usize, rows: usize) -> Tensor {
    if output.shape.first() != Some(&rows) {
        return output.clone();
    }
    let one = gather(std::slice::from_ref(output), &[row]).and_then(|mut one| one.pop());
    one.unwrap_or_else(|| Tensor {
        shape: with_first(&output.shape, 0),
        data: Data::empty(output.datatype()),
    })
}

/// Two threads at once, against what one thread said before.
fn threads(trial: &mut Trial<'_>, terms: &Terms<'_>, first: &[Tensor]) -> Result<String, String> {
    let (session, signature): (&dyn Session, &Signature) = (trial.session, trial.signature);
    let work = |worker: usize| {
        let mut scratch = Scratch::new(worker % terms.callers.max(1));
        for _ in 0..ROUNDS {
            match run_once(session, terms.sample, &mut scratch) {
                Outcome::Answer(outputs) => same(signature, &outputs, first).map(drop)?,
                Outcome::Refused(why) | Outcome::Broke(why) => return Err(why),
            }
        }
        Ok(())
    };
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|worker| scope.spawn(move || work(worker))).collect();
        let ended = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())));
        ended.collect()
    });
    (trial.pace)();
    match results.into_iter().find_map(Result::err) {
        Some(why) => Err(format!("two threads at once: {why}")),
        None => Ok(format!("two threads at once, {ROUNDS} times each: the same")),
    }
}

enum Same {
    Bits,
    Decimals,
}

/// Whether two answers to the same input agree, or how they do not.
fn same(signature: &Signature, got: &[Tensor], want: &[Tensor]) -> Result<Same, String> {
    if got.len() != want.len() {
        return Err(format!("{} outputs, then {}", want.len(), got.len()));
    }
    let mut same = Same::Bits;
    for (spec, (got, want)) in signature.outputs.iter().zip(got.iter().zip(want)) {
        if let Some(detail) = difference(&spec.name, got, want, SIX_DECIMALS) {
            return Err(detail.replace(", expected ", ", before "));
        }
        if !bits_equal(&got.data, &want.data) {
            same = Same::Decimals;
        }
    }
    Ok(same)
}

fn bits_equal(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::Fp32(a), Data::Fp32(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (Data::Fp64(a), Data::Fp64(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (a, b) => a == b,
    }
}
