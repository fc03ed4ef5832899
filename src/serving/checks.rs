//! What a model can be made to show: it answers, as many predictions as rows, within a range, the same each time, and
//! nothing breaks it.
//!
//! [`CHECKS`] is the table: `sidegate test` runs all of it on a file, the loader runs those that `models.NAME.checks`
//! names on a version before it serves. Details name the place (output, row, value found, value wanted); they never
//! hold a value of a feature, because they are logged.

mod agreement;
mod determinism;
mod edge_cases;
mod interface;
mod range;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use agreement::agreement;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::admission::Trial;
use super::probe;
use crate::config::{ModelCheck, ModelChecks, PredictionRange};
use crate::engine::{RunError, Scratch, Session};
use crate::model::{LoadError, Reason, Signature};
use crate::tensor::{Shape, Tensor};

/// Rows that are made up for a version that is about to serve.
const ADMISSION_ROWS: usize = 64;
/// Rows of one run where there are many.
pub(crate) const CHUNK: usize = 1024;

/// One check: what it is called, what it proves, and how.
pub struct Check {
    /// Its name in the configuration and in reports.
    pub kind: ModelCheck,
    /// What holds once it passed.
    pub proves: &'static str,
    /// Why a version that fails it is refused.
    reason: Reason,
    run: fn(&mut Trial<'_>, &Terms<'_>) -> Vec<Finding>,
}

/// Every check, in the order in which they run.
pub const CHECKS: &[Check] = &[
    Check {
        kind: ModelCheck::Interface,
        proves: "the model answers, and its outputs are those it declares",
        reason: Reason::WarmupFailed,
        run: interface::run,
    },
    Check {
        kind: ModelCheck::Shape,
        proves: "there are as many predictions as input rows, for 1, 2, 7 and 64 rows",
        reason: Reason::GoldenMismatch,
        run: shape::run,
    },
    Check {
        kind: ModelCheck::Range,
        proves: "every prediction lies within MIN..MAX, ends included",
        reason: Reason::GoldenMismatch,
        run: range::run,
    },
    Check {
        kind: ModelCheck::Determinism,
        proves: "the same input has the same answer: again, alone or among others, on two threads at once",
        reason: Reason::GoldenMismatch,
        run: determinism::run,
    },
    Check {
        kind: ModelCheck::EdgeCases,
        proves: "no input breaks it: no rows, NaN, infinities, empty and unseen texts, extreme integers",
        reason: Reason::WarmupFailed,
        run: edge_cases::run,
    },
];

/// What the checks go by.
pub struct Terms<'a> {
    /// Rows that the model is asked for.
    pub rows: &'a [Tensor],
    /// The first [`CHUNK`] of them, for checks that run them more than once.
    pub sample: &'a [Tensor],
    /// What they are, for details: `64 made-up rows`.
    pub source: &'a str,
    /// Index of the output that holds the predictions.
    pub prediction: usize,
    /// Where predictions lie.
    pub range: Option<PredictionRange>,
    /// How many threads may call the session at once.
    pub callers: usize,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What it proves holds.
    Passed,
    /// It does not.
    Failed,
    /// It says nothing about this model.
    Skipped,
}

/// What a check found: one line of a report.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The check, with a dot and its part where it has several.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What was found where, and what was wanted.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// What came of one run.
pub(crate) enum Outcome {
    /// The outputs, in signature order.
    Answer(Vec<Tensor>),
    /// The engine calls it the request's fault; a client would get 400.
    Refused(String),
    /// The engine failed or panicked; a client would get 500.
    Broke(String),
}

// === impl Terms ===

impl Terms<'_> {
    /// What the sample is, for details.
    fn sampled(&self) -> String {
        let count = |rows: &[Tensor]| rows.first().map_or(0, Tensor::rows);
        match (count(self.sample), count(self.rows)) {
            (some, all) if some < all => format!("the first {some} of {}", self.source),
            _ => self.source.to_owned(),
        }
    }
}

// === impl Check ===

impl Check {
    /// Runs it.
    pub fn run(&self, trial: &mut Trial<'_>, terms: &Terms<'_>) -> Vec<Finding> {
        (self.run)(trial, terms)
    }
}

/// Runs the checks that a model's configuration asks for on a version that is about to serve. `example` are inputs
/// that make sense, where there are any.
///
/// # Errors
/// With the reason of the first check that failed, naming what was found where.
pub(super) fn admit(
    trial: &mut Trial<'_>,
    asked: ModelChecks,
    example: Option<&[Tensor]>,
    (prediction, range): (usize, Option<PredictionRange>),
    callers: usize,
) -> Result<(), LoadError> {
    if asked.is_empty() {
        return Ok(());
    }
    let (rows, source) = made_up(trial, example, ADMISSION_ROWS, 0);
    let terms = Terms { rows: &rows, sample: &rows, source: &source, prediction, range, callers };
    for check in CHECKS.iter().filter(|check| asked.contains(check.kind)) {
        let findings = check.run(trial, &terms);
        if let Some(failed) = findings.iter().find(|finding| finding.status == Status::Failed) {
            return Err(LoadError::new(check.reason, format!("check {}: {}", failed.name, failed.detail)));
        }
    }
    Ok(())
}

/// Makes up so many rows for a signature from a seed.
type Maker = fn(&Signature, usize, u64) -> Option<Vec<Tensor>>;

/// About `rows` rows to try a model on, and what they are: mixed from an example where there is one, else the first of
/// several kinds that the model answers.
pub(crate) fn made_up(
    trial: &mut Trial<'_>,
    example: Option<&[Tensor]>,
    rows: usize,
    seed: u64,
) -> (Vec<Tensor>, String) {
    let mixed = example.and_then(|example| {
        let mixed = probe::mix(example, rows, seed)?;
        Some((mixed, format!("{rows} rows mixed from the examples")))
    });
    if let Some(found) = mixed {
        return found;
    }
    if let Some(example) = example {
        return (example.to_vec(), "the first example".to_owned());
    }
    let signature = trial.signature;
    let kinds: [Maker; 3] =
        [probe::varied, probe::small_numbers, |signature, rows, _| probe::probe(signature, rows, 0)];
    let mut last = Vec::new();
    for kind in kinds {
        let Some(inputs) = kind(signature, rows, seed) else { continue };
        // Numbers that make no sense can also be the end of a run: the edge cases are there to show that.
        let taken = matches!(trial.attempt(&inputs), Outcome::Answer(_));
        last = inputs;
        if taken {
            break;
        }
    }
    let source = match (last.first(), batched(signature)) {
        (None, _) => "no rows: the declared shapes are too large to make some up".to_owned(),
        (Some(_), true) => format!("{rows} made-up rows"),
        (Some(_), false) => "made-up inputs".to_owned(),
    };
    (last, source)
}

/// Whether every input has a free first dimension, so that the number of rows can vary.
pub(crate) fn batched(signature: &Signature) -> bool {
    let free = |shape: &Vec<i64>| shape.first().is_some_and(|d| *d < 0);
    !signature.inputs.is_empty() && signature.inputs.iter().all(|spec| free(&spec.shape))
}

/// The same rows in runs of at most [`CHUNK`], each with the number of its first row.
pub(crate) fn chunks(rows: &[Tensor]) -> impl Iterator<Item = (usize, Vec<Tensor>)> {
    let count = rows.first().map_or(0, Tensor::rows);
    (0..count.div_ceil(CHUNK)).map(move |chunk| {
        let order: Vec<usize> = (chunk * CHUNK..count.min((chunk + 1) * CHUNK)).collect();
        // What cannot be split goes whole.
        (chunk * CHUNK, probe::gather(rows, &order).unwrap_or_else(|| rows.to_vec()))
    })
}

// === impl Trial ===

impl Trial<'_> {
    /// Runs the model once, whatever comes of it: a panic of the engine is an outcome too.
    pub(crate) fn attempt(&mut self, inputs: &[Tensor]) -> Outcome {
        let outcome = run(self.session, inputs, self.scratch);
        (self.pace)();
        outcome
    }
}

/// One run on the calling thread.
fn run(session: &dyn Session, inputs: &[Tensor], scratch: &mut Scratch) -> Outcome {
    let mut outputs = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs, scratch, &mut outputs)));
    match result {
        Ok(Ok(())) => Outcome::Answer(outputs),
        Ok(Err(RunError::Input(why))) => Outcome::Refused(why),
        Ok(Err(RunError::Engine(why))) => Outcome::Broke(format!("the engine failed: {why}")),
        Err(_) => {
            // Buffers that a panic left half-written are not used again.
            *scratch = Scratch::new(scratch.worker);
            Outcome::Broke("the engine panicked".to_owned())
        }
    }
}

/// The answer, or why there is none in words that follow what was asked.
fn answer(outcome: Outcome) -> Result<Vec<Tensor>, String> {
    match outcome {
        Outcome::Answer(outputs) => Ok(outputs),
        Outcome::Refused(why) => Err(format!("refused as input: {why}")),
        Outcome::Broke(why) => Err(why),
    }
}

/// The elements of a row: `[N]` and `[N, 1]` have one.
fn width(tensor: &Tensor) -> usize {
    tensor.data.len().checked_div(tensor.rows()).unwrap_or(0)
}

fn rows_of(count: usize) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// A shape with its first extent replaced.
fn with_first(shape: &Shape, first: usize) -> Shape {
    let mut shape = shape.clone();
    if let Some(extent) = shape.first_mut() {
        *extent = first;
    }
    shape
}

// === impl Finding ===

impl Finding {
    /// `started` is when the check began.
    pub fn new(name: impl Into<String>, result: Result<String, String>, started: Instant) -> Self {
        let (status, detail) = match result {
            Ok(detail) => (Status::Passed, detail),
            Err(detail) => (Status::Failed, detail),
        };
        Self { name: name.into(), status, detail, took: started.elapsed() }
    }

    /// A check that has nothing to say, and why.
    pub fn skipped(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Skipped, detail: detail.into(), took: Duration::ZERO }
    }
}

impl Status {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}
