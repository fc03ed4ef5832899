//! `sidegate test`: what a model file can be made to show before anybody relies on it.
//!
//! The checks are those of [`crate::serving::checks`], which admission runs too; here they come with the manifest and
//! golden examples of a version, agreement of engines, and performance against thresholds.

mod data;
mod exam;
mod latency;
mod performance;
mod report;
mod subject;

pub use self::exam::Exam;
pub use self::report::Report;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::data::Table;
use self::latency::latency;
use self::performance::{Predictions, Scores, judge, shown};
use self::subject::{CALLERS, Subject};
use super::{FAILURE, TestArgs, USAGE, complain, say};
use crate::config::{EngineChoice, Problems, Sources, load_leniently};
use crate::engine::Scratch;
use crate::score::Compute;
use crate::serving::admission::Trial;
use crate::serving::checks::{CHECKS, CHUNK, Finding, Outcome, Terms, agreement, chunks, made_up};
use crate::serving::probe::{gather, tile};
use crate::tensor::Tensor;

/// Carries the command out.
pub(super) fn run(args: &TestArgs) -> ExitCode {
    let choice = match engine_choice(args) {
        Ok(choice) => choice,
        Err(problems) => return super::usage_error(&problems),
    };
    let table = match read_data(args) {
        Ok(table) => table,
        Err(error) => {
            complain(&format!("sidegate: {error}\n"));
            return USAGE.into();
        }
    };
    let format =
        args.model.extension().map_or_else(|| "model".into(), |e| e.to_string_lossy().to_lowercase());
    let mut report = Report::new(args.model.display().to_string(), format);
    let started = Instant::now();
    match Subject::open(&args.model, choice) {
        Ok(subject) => {
            let prediction = match subject.prediction(args.prediction.as_deref()) {
                Ok(prediction) => prediction,
                Err(error) if args.prediction.is_some() => {
                    complain(&format!("sidegate: --prediction: {error}\n"));
                    return USAGE.into();
                }
                Err(error) => {
                    report.findings.push(Finding::new("manifest.prediction", Err(error), started));
                    0
                }
            };
            report.describe(&subject);
            Test { args, subject: &subject, table: table.as_ref(), prediction, report: &mut report }.run();
        }
        Err(error) => report.findings.push(Finding::new("interface", Err(error.to_string()), started)),
    }
    conclude(args, &report)
}

/// The engine to load with, once the engines know their configuration.
fn engine_choice(args: &TestArgs) -> Result<EngineChoice, Problems> {
    let flags = args.engine.iter().map(|engine| ("engine.default".to_owned(), engine.clone())).collect();
    let sources = Sources { file: args.config.clone(), ..Sources::from_process(flags) };
    let (loaded, problems) = load_leniently(&sources);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    crate::engine::configure(&loaded.config.engine);
    Ok(loaded.config.engine.default)
}

/// The data, if there is any, and whether the thresholds can be judged with it.
fn read_data(args: &TestArgs) -> Result<Option<Table>, String> {
    let scored = args.threshold.iter().find(|threshold| threshold.metric.task().is_some());
    if let Some(threshold) = scored
        && args.target.is_none()
    {
        let name = threshold.metric.name;
        return Err(format!(
            "--threshold {name} needs rows with what came of them: --data FILE.csv --target COLUMN"
        ));
    }
    args.data.as_deref().map(|path| Table::read(path, args.target.as_deref())).transpose()
}

/// Prints and writes the report.
fn conclude(args: &TestArgs, report: &Report) -> ExitCode {
    let json = format!("{:#}\n", report.json());
    say(&if args.json { json.clone() } else { report.text() });
    let files = [(args.report.as_deref(), json), (args.junit.as_deref(), report.junit())];
    for (path, text) in files.iter().filter_map(|(path, text)| Some(((*path)?, text))) {
        if let Err(error) = write(path, text) {
            return super::runtime_error(&error);
        }
    }
    if report.passed() { ExitCode::SUCCESS } else { FAILURE.into() }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A test of a model that was opened.
struct Test<'a> {
    args: &'a TestArgs,
    subject: &'a Subject,
    table: Option<&'a Table>,
    prediction: usize,
    report: &'a mut Report,
}

// === impl Test ===

impl Test<'_> {
    fn run(mut self) {
        let subject = self.subject;
        let mut scratch = Scratch::new(0);
        let mut trial = Trial {
            session: &*subject.file.loaded.session,
            signature: &subject.file.signature,
            scratch: &mut scratch,
            pace: &mut || (),
        };
        self.report.findings.extend(subject.manifest_finding.clone());
        let example = self.golden(&mut trial);
        let given = self.given_rows();
        // Nothing is scored on rows that are not those of the target.
        let scored = self.table.filter(|_| given.is_some());
        let (rows, source) =
            given.unwrap_or_else(|| made_up(&mut trial, example.as_deref(), self.args.rows, self.args.seed));
        let count = rows.first().map_or(0, Tensor::rows).min(CHUNK);
        let sample = gather(&rows, &(0..count).collect::<Vec<_>>()).unwrap_or_else(|| rows.clone());
        let terms = Terms {
            rows: &rows,
            sample: &sample,
            source: &source,
            prediction: self.prediction,
            range: self.args.range,
            callers: CALLERS,
        };
        for check in CHECKS {
            self.report.findings.extend(check.run(&mut trial, &terms));
        }
        self.report.findings.push(match &subject.witness {
            Some((kind, session)) => agreement(&mut trial, &terms, (*kind, &**session)),
            None => Finding::skipped("agreement", "no other engine at hand runs this model"),
        });
        self.performance(&mut trial, &terms, scored);
    }

    /// Runs the golden examples, where there are any; the inputs of the first one.
    fn golden(&mut self, trial: &mut Trial<'_>) -> Option<Vec<Tensor>> {
        let bytes = self.subject.golden.as_deref()?;
        let started = Instant::now();
        let examined = catch_unwind(AssertUnwindSafe(|| trial.golden(bytes)));
        let (result, example) = match examined {
            Ok(Ok(Some(example))) => (Ok("the golden examples come out right".to_owned()), Some(example)),
            Ok(Ok(None)) => (Err("golden.json holds no example".to_owned()), None),
            Ok(Err(error)) => (Err(error.detail), None),
            Err(_) => (Err("the engine panicked".to_owned()), None),
        };
        self.report.findings.push(Finding::new("golden", result, started));
        example
    }

    /// The rows of the data; a finding where the model does not take them.
    fn given_rows(&mut self) -> Option<(Vec<Tensor>, String)> {
        let table = self.table?;
        let started = Instant::now();
        let manifest = self.subject.manifest.as_ref().map(|manifest| manifest.columns.as_slice());
        let columns =
            manifest.filter(|columns| !columns.is_empty()).unwrap_or(self.subject.file.model.columns());
        match table.inputs(&self.subject.file.signature, columns) {
            Ok(rows) => Some((rows, table.source.clone())),
            Err(why) => {
                self.report.findings.push(Finding::new("data", Err(why), started));
                None
            }
        }
    }

    fn performance(&mut self, trial: &mut Trial<'_>, terms: &Terms<'_>, table: Option<&Table>) {
        let thresholds = &self.args.threshold;
        let (timed, scored): (Vec<_>, Vec<_>) =
            thresholds.iter().copied().partition(|t| matches!(t.metric.compute, Compute::Latency(_)));
        let started = Instant::now();
        match self.scores(trial, terms, table) {
            None => {}
            Some(Err(why)) => self.report.findings.push(Finding::new("performance", Err(why), started)),
            Some(Ok(scores)) => {
                let computed = scores.values.iter();
                let computed: Vec<_> =
                    computed.filter_map(|(metric, value)| Some((*metric, *value.as_ref().ok()?))).collect();
                self.report.findings.extend(judge(&scored, &scores, started));
                if scored.is_empty() {
                    let list: Vec<String> = computed
                        .iter()
                        .map(|(metric, value)| format!("{} {}", metric.name, shown(*value)))
                        .collect();
                    let detail = format!("no --threshold is given; {}; {}", list.join(", "), scores.task);
                    self.report.findings.push(Finding::skipped("performance", detail));
                }
                self.report
                    .metrics
                    .extend(computed.iter().map(|(metric, value)| (metric.name.to_owned(), *value)));
            }
        }
        if !timed.is_empty() {
            let started = Instant::now();
            let row = tile(terms.sample, 1).unwrap_or_else(|| terms.sample.to_vec());
            let measured = catch_unwind(AssertUnwindSafe(|| latency(trial.session, &row))).ok().flatten();
            let values = measured.clone().into_iter().flatten().map(|(metric, value)| (metric, Ok(value)));
            let mut scores = Scores { task: "one row in this process".to_owned(), values: values.collect() };
            if measured.is_none() {
                let why = || Err("one row cannot be run".to_owned());
                scores.values = timed.iter().map(|threshold| (threshold.metric, why())).collect();
            }
            self.report.findings.extend(judge(&timed, &scores, started));
            let measured = measured.into_iter().flatten();
            self.report.metrics.extend(measured.map(|(metric, value)| (metric.name.to_owned(), value)));
        }
        // Data that does not fit has failed already.
        let lacking = match (&self.args.data, table, &self.args.target) {
            (None, ..) => Some("no data is given: --data FILE.csv --target COLUMN --threshold METRIC=NUMBER"),
            (_, Some(_), None) => Some("no target is given: --target COLUMN --threshold METRIC=NUMBER"),
            _ => None,
        };
        if let Some(detail) = lacking.filter(|_| thresholds.is_empty()) {
            self.report.findings.push(Finding::skipped("performance", detail));
        }
    }

    /// The metrics over all rows of the data; `None` without a target.
    fn scores(
        &self,
        trial: &mut Trial<'_>,
        terms: &Terms<'_>,
        table: Option<&Table>,
    ) -> Option<Result<Scores, String>> {
        let target = table?.target()?;
        let mut runs = Vec::new();
        for (start, inputs) in chunks(terms.rows) {
            match trial.attempt(&inputs) {
                Outcome::Answer(outputs) => runs.push(outputs),
                Outcome::Refused(why) | Outcome::Broke(why) => {
                    return Some(Err(format!("rows from {start} of {}: {why}", terms.source)));
                }
            }
        }
        let labels = self.subject.manifest.as_ref().map_or(&[][..], |manifest| &manifest.labels);
        let signature = &self.subject.file.signature;
        let predictions = Predictions { signature, prediction: self.prediction, labels, runs };
        Some(predictions.score(&target, self.args.task))
    }
}
