//! A model that was just made, on the rows that its maker kept back: what `sidegate-train` asks before it registers one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::latency::latency;
use super::report::Report;
use super::subject::{CALLERS, Subject};
use crate::cli::model_file::ModelFile;
use crate::config::{EngineChoice, ModelChecks, PredictionRange};
use crate::engine::Scratch;
use crate::format::Format;
use crate::model::{LoadError, Reason};
use crate::serving::admission::Trial;
use crate::serving::checks::{CHECKS, Finding, Terms};
use crate::serving::probe::tile;
use crate::tensor::Tensor;

/// What is asked of a model.
pub struct Exam<'a> {
    /// Which checks.
    pub checks: ModelChecks,
    /// Rows that it answers, at most some thousand; of each input as many.
    pub rows: &'a [Tensor],
    /// What they are, for details: `1024 rows of the test`.
    pub source: &'a str,
    /// The output that predicts; the first without one.
    pub prediction: &'a str,
    /// Where predictions lie.
    pub range: Option<PredictionRange>,
}

// === impl Exam ===

impl Exam<'_> {
    /// Runs the checks on the bytes of a model file, by the engine that a gateway would choose, and measures how long a
    /// row takes. A file that cannot be served is a failed `interface`.
    pub fn of(&self, name: &str, format: Format, bytes: Vec<u8>) -> Report {
        let mut report = Report::new(name.to_owned(), format.extension().to_owned());
        let started = Instant::now();
        // Engines are not trusted with a model's bytes.
        let load = || ModelFile::load(format, bytes, EngineChoice::Auto, CALLERS);
        let crashed = || Err(LoadError::new(Reason::Crashed, "the engine panicked while loading"));
        match catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| crashed()) {
            Ok(file) => {
                let subject = Subject::of(format, file);
                report.describe(&subject);
                self.sit(&subject, &mut report);
            }
            Err(error) => report.findings.push(Finding::new("interface", Err(error.to_string()), started)),
        }
        report
    }

    fn sit(&self, subject: &Subject, report: &mut Report) {
        let session = &*subject.file.loaded.session;
        let mut trial = Trial {
            session,
            signature: &subject.file.signature,
            scratch: &mut Scratch::new(0),
            pace: &mut || (),
        };
        let terms = Terms {
            rows: self.rows,
            sample: self.rows,
            source: self.source,
            prediction: subject.prediction(Some(self.prediction)).unwrap_or_default(),
            range: self.range,
            callers: CALLERS,
        };
        for check in CHECKS.iter().filter(|check| self.checks.contains(check.kind)) {
            report.findings.extend(check.run(&mut trial, &terms));
        }
        let measured = tile(self.rows, 1)
            .and_then(|row| catch_unwind(AssertUnwindSafe(|| latency(session, &row))).ok().flatten());
        let measured = measured.into_iter().flatten();
        report.metrics.extend(measured.map(|(metric, value)| (metric.name.to_owned(), value)));
    }
}
