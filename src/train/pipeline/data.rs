//! From where rows are to features on disk: load, validate, features, split.

use std::time::Instant;

use serde_json::json;

use super::{Pipeline, Reached};
use crate::data::validate::{Finding, Report};
use crate::data::{Access, Data, DataError, Wanted};
use crate::failure::Failure;
use crate::features::{Features, Fitter, RawBatch, Recipe};
use crate::foresee;
use crate::judge::Slices;
use crate::registry;
use crate::rows::Source;
use crate::run::Step;
use crate::spool::{Filling, Spool, fill};
use crate::table::{Part, Rows};

/// Rows of the test that the tests of the model are run on; those that run them more than once take a thousand too.
const SAMPLE: usize = 1024;
/// In the folder of a run.
const RECIPE: &str = "recipe.json";
/// The report of the validation, there and beside the model.
pub(crate) const VALIDATION: &str = "validation.json";

/// What is made of the rows before anything is learned.
pub(super) struct Prepared {
    /// How features are made.
    pub(super) recipe: Recipe,
    /// Features of all rows.
    pub(super) spool: Spool,
    /// By what the test is cut.
    pub(super) slices: Slices,
    /// Some rows of the test as they came.
    pub(super) sample: RawBatch,
}

impl Pipeline<'_> {
    /// Load and validate: always done, because what follows reads the rows, and a run that is taken up has to meet the
    /// ones that it left.
    pub(super) fn source(&mut self) -> Reached<Source> {
        let config = self.config;
        let data = self.load().map_err(|error| self.unfit(config.data.place(), error))?;
        let origin = data.origin().to_owned();
        if !self.over(Step::Load, &origin, json!({ "columns": data.columns().len() }))? {
            return Ok(None);
        }
        let schema = config.validation.schema()?;
        self.run.record.schema = Some(schema.digest());
        let now = i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000);
        let classes = config.classes().unwrap_or_else(|| data.target_is_class());
        let (progress, since) = (&mut self.progress, Instant::now());
        let examined = data.examine(&schema, classes, now.unwrap_or(i64::MAX), &mut |seen| {
            progress.rows("validate", seen, None, since);
        });
        let examined = examined.map_err(|error| self.unfit(&origin, error))?;
        let report = &examined.report;
        self.run.record.same_data(&report.digest, self.from)?;
        self.keep_report(report)?;
        self.run.record.data = json!({ "source": data.origin(), "digest": report.digest, "rows": report.rows, "from": report.first_date, "to": report.last_date });
        let validated = examined.sound()?;
        let report = &validated.report;
        let found: Vec<String> = report.findings.iter().map(told).collect();
        for text in &found {
            self.progress.say("validate", text, json!({ "finding": true }));
        }
        if !report.passed {
            return Err(Failure::Validation(format!(
                "the data is not as it has to be: {}",
                found.join("; ")
            )));
        }
        let words = format!("{} rows, {} of them kept, {} findings", report.rows, report.kept, found.len());
        let numbers = json!({ "rows": report.rows, "kept": report.kept, "findings": found.len() });
        let source = Source::new(data, validated, config.task, config.kind)?;
        foresee::check(config, &source.fields, source.task)?;
        Ok(self.over(Step::Validate, &words, numbers)?.then_some(source))
    }

    /// Writes what was found of the data, for machines and for people.
    fn keep_report(&self, report: &Report) -> Result<(), Failure> {
        self.run.write(VALIDATION, report.json())?;
        self.run.write("validation.html", report.html()).map(drop)
    }

    /// Ends with an error, of which there is a report where it is a fault of the data.
    fn unfit(&self, origin: &str, error: DataError) -> Failure {
        let told = error.fault().map_or(Ok(()), |_| self.keep_report(&Report::of_fault(origin, &error)));
        told.err().unwrap_or_else(|| error.into())
    }

    /// Opens the data, again after a while where it is out of reach.
    fn load(&mut self) -> Result<Data, DataError> {
        let config = self.config;
        let bucket = |url: &str| registry::bucket(config, url);
        let access =
            Access { wanted: Wanted::Rows, environment: &crate::environment::variable, bucket: &bucket };
        let mut left = config.retry.retries;
        loop {
            match Data::open(&config.data, &config.split, &access) {
                Err(error) if error.is_transient() && left > 0 => {
                    let seconds = config.retry.delay_seconds;
                    let words = format!("{error}; again in {seconds} s, {left} tries are left");
                    self.progress.say(
                        "load",
                        &words,
                        json!({ "retries_left": left, "delay_seconds": seconds }),
                    );
                    left -= 1;
                    std::thread::sleep(std::time::Duration::from_secs(seconds));
                }
                other => return other,
            }
        }
    }

    pub(super) fn features(&mut self, source: &Source) -> Reached<Prepared> {
        let config = self.config;
        let recipe = if self.from > Step::Features { self.kept_recipe()? } else { self.recipe(source)? };
        let mut features = Features::new(&recipe, source.fields.clone())?;
        let mut filling = Filling::new(&self.run.folder, features.columns().to_vec(), source.is_weighted())?;
        let mut slices = Slices::new(source, &config.evaluation.slices)?;
        let mut sample = RawBatch::default();
        let (since, mut seen, all) = (Instant::now(), 0, Some(source.validated.report.kept));
        source.scan(&mut |rows| {
            seen += rows.rest.parts.len() as u64;
            self.progress.rows("features are computed", seen, all, since);
            let parts = rows.rest.parts.iter().enumerate();
            let test: Vec<usize> =
                parts.filter(|(_, part)| **part == Part::Test).map(|(row, _)| row).collect();
            slices.push(&rows.raw, &test);
            let some = test.get(..SAMPLE).unwrap_or(&test);
            if some.len() > sample.rows() {
                sample = rows.raw.of_rows(some);
            }
            fill(&mut filling, &mut features, &rows)
        })?;
        let spool = filling.finish()?;
        let words = format!(
            "{} features of {} columns, {} bytes",
            spool.columns().len(),
            source.fields.len(),
            spool.bytes()
        );
        let numbers = json!({ "features": spool.columns().len(), "bytes": spool.bytes() });
        let prepared = Prepared { recipe, spool, slices, sample };
        Ok(self.over(Step::Features, &words, numbers)?.then_some(prepared))
    }

    fn recipe(&mut self, source: &Source) -> Result<Recipe, Failure> {
        let mut fitter = Fitter::new(self.config.features.clone(), source.fields.clone())?;
        let (since, mut seen) = (Instant::now(), 0);
        source.scan_part(Part::Train, &mut |raw| {
            seen += raw.rows() as u64;
            self.progress.rows("features are fitted", seen, None, since);
            fitter.push(raw).map_err(|error| error.to_string())
        })?;
        let recipe = fitter.finish()?;
        self.config.export.columns(&recipe).map_err(Failure::Config)?;
        self.run.write(RECIPE, serde_json::to_vec_pretty(&recipe).unwrap_or_default())?;
        Ok(recipe)
    }

    /// How a run that is taken up made its features.
    ///
    /// # Errors
    /// When that is not there, or not whole.
    pub(crate) fn kept_recipe(&self) -> Result<Recipe, Failure> {
        let bytes = self.run.read(RECIPE)?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::file(&self.run.path(RECIPE), &error))
    }

    pub(super) fn split(&mut self, prepared: &Prepared) -> Result<bool, Failure> {
        let [train, validation, test] =
            [Part::Train, Part::Validation, Part::Test].map(|part| prepared.spool.count(part));
        for (part, rows) in [("to learn from", train), ("to test on", test)] {
            if rows == 0 {
                return Err(Failure::data(format!(
                    "no rows are left {part}; see [split] and data.date_range"
                )));
            }
        }
        let words = format!("{train} rows to learn from, {validation} to stop by, {test} to test on");
        self.over(Step::Split, &words, json!({ "train": train, "validation": validation, "test": test }))
    }
}

/// A finding of the validation, in a line.
pub(super) fn told(finding: &Finding) -> String {
    let examples = finding.examples.iter().take(3).map(|example| format!("`{example}`")).collect::<Vec<_>>();
    let examples = if examples.is_empty() { String::new() } else { format!(": {}", examples.join(", ")) };
    format!("{}: {}{examples}", finding.column, finding.message)
}
