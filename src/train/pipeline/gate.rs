//! May the model be registered? Its tests, what it costs, what serves now on the same rows, and the rules.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use sidegate::cli::{Exam, ModelReport};
use sidegate::config::EngineChoice;
use sidegate::format::{Format, Model as File};
use sidegate::model::Stage;
use sidegate::serving::checks::Finding;

use super::data::Prepared;
use super::{Pipeline, Reached, interface};
use crate::evaluate::{Card, Champion, Comparison, Decision};
use crate::failure::Failure;
use crate::features::{Answer, Classes, export};
use crate::judge::{self, Judged};
use crate::registry::{self, Serving};
use crate::rows::Source;
use crate::run::Step;
use crate::search::Trained;
use crate::served::Served;
use crate::table::{Part, Rows};

/// The report of the model tests, in the folder of a run and beside the model.
pub(crate) const TESTS: &str = "tests.json";

impl Pipeline<'_> {
    /// The file that would be served, and its card; refused, the run ends.
    pub(super) fn gate(
        &mut self,
        source: &Source,
        prepared: &Prepared,
        trained: &Trained,
        judged: Judged,
    ) -> Reached<(Vec<u8>, Card)> {
        let model = self.model(source, prepared, trained)?;
        let file = File::parse(Format::Onnx, model.clone())?;
        let serving = self.serving()?;
        let interface_changed = serving.as_ref().and_then(|serving| self.breaks(serving, &file));
        let champion = serving.map(|serving| self.compared(serving, source, &judged));
        let mut tests = self.tests(source, prepared, &file, &model)?;
        tests.findings.extend(interface_changed);
        let facts = self.facts(&model, prepared, &tests);
        let decision = {
            let champion = match &champion {
                None => Champion::Absent,
                Some(Ok(comparison)) => Champion::Compared(comparison),
                Some(Err(why)) => Champion::Unknown(why),
            };
            self.config.gate.decide(&judged.evaluation, champion, &facts).and_tests(&tests.findings)
        };
        self.performance(&decision, &judged, &mut tests);
        self.run.write(TESTS, format!("{:#}\n", tests.json()))?;
        self.run.write("gate.json", serde_json::to_vec_pretty(&decision).unwrap_or_default())?;
        let refusals = decision.refusals().join("; ");
        let comparison = champion.and_then(Result::ok);
        let mut card = self.card(source, prepared, (judged, &trained.params), comparison, decision, facts);
        card.interface = interface(&file);
        self.show(&card)?;
        if !refusals.is_empty() {
            return Err(Failure::Gate(format!("the gate refuses: {refusals}")));
        }
        Ok(self.over(Step::Gate, "passed", json!({}))?.then_some((model, card)))
    }

    /// The file that is served.
    fn model(&self, source: &Source, prepared: &Prepared, trained: &Trained) -> Result<Vec<u8>, Failure> {
        Ok(export(&prepared.recipe, &trained.fitted.model, &self.answer(source), &self.config.export)?)
    }

    /// What that file is to answer.
    pub(super) fn answer(&self, source: &Source) -> Answer {
        let Some(classes) = &source.classes else { return Answer::Number };
        let numbers: Option<Vec<i64>> = classes.iter().map(|class| class.parse().ok()).collect();
        let classes = numbers.map_or_else(|| Classes::Names(classes.clone()), Classes::Numbers);
        Answer::Classes(classes, self.config.evaluation.threshold())
    }

    /// The version in Production, which is what the card names as the parent; none where there is none.
    fn serving(&mut self) -> Reached<Result<Serving, String>> {
        let Some(writer) = &self.writer else { return Ok(None) };
        self.parent = registry::in_production(writer, &self.config.name)?;
        let serving = |version| registry::serving(writer, &self.config.name, version);
        self.parent.map(serving).transpose()
    }

    /// Sidecars that serve the champion refuse what takes or gives something else, so that it would never serve.
    fn breaks(&self, serving: &Result<Serving, String>, file: &File) -> Option<Finding> {
        let deployment = &self.config.deployment;
        let replaces = self.config.auto_deploy && deployment.stage().ok() == Some(Stage::Production);
        if !replaces || deployment.breaking {
            return None;
        }
        let change = serving.as_ref().ok()?.signature().breaking_change(file.signature())?;
        let detail = format!(
            "{change}, compared with what is in Production, and sidecars would refuse it; data.types and [export] keep an \
             interface, deployment.breaking = true says that the change is meant"
        );
        Some(Finding::new("interface.champion".to_owned(), Err(detail), Instant::now()))
    }

    /// The version in Production on the same rows.
    fn compared(
        &self,
        serving: Result<Serving, String>,
        source: &Source,
        judged: &Judged,
    ) -> Result<Comparison, String> {
        serving.and_then(|serving| {
            let labels = &serving.labels;
            if source.classes.as_ref().is_some_and(|classes| !labels.is_empty() && classes != labels) {
                return Err("it tells other classes apart".to_owned());
            }
            let mut served = serving.load(&source.fields)?;
            let mut scores = Vec::new();
            source
                .scan_part(Part::Test, &mut |raw| {
                    served.ask(raw)?;
                    scores.extend(served.scores(source.task)?);
                    Ok(())
                })
                .map_err(|failure| failure.to_string())?;
            judge::compare(self.config, scores, judged)
        })
    }

    /// The founding tests of the model, by the engine that will serve it, on rows that it has not seen.
    fn tests(
        &self,
        source: &Source,
        prepared: &Prepared,
        file: &File,
        bytes: &[u8],
    ) -> Result<ModelReport, Failure> {
        let exported = &self.config.export;
        let columns = exported.columns(&prepared.recipe).map_err(Failure::Config)?;
        let mut served = Served::of_columns(file, EngineChoice::Auto, &source.fields, &columns)
            .map_err(Failure::Failed)?;
        served.ask(&prepared.sample).map_err(Failure::Failed)?;
        let exam = Exam {
            checks: self.config.gate.checks,
            rows: &served.inputs,
            source: &format!("{} rows of the test", prepared.sample.rows()),
            prediction: exported.prediction(source.classes.is_some()),
            range: self.config.gate.range,
        };
        Ok(exam.of(self.config.name.as_str(), Format::Onnx, bytes.to_vec()))
    }

    /// Sizes and times; of latency the tests have some.
    fn facts(&self, model: &[u8], prepared: &Prepared, tests: &ModelReport) -> BTreeMap<String, f64> {
        let trained = self.run.record.steps.iter().find(|(step, _)| *step == Step::Train);
        let mut facts = BTreeMap::from([
            ("model_bytes".to_owned(), model.len() as f64),
            ("test_rows".to_owned(), prepared.spool.count(Part::Test) as f64),
        ]);
        facts.extend(trained.map(|(_, seconds)| ("train_seconds".to_owned(), *seconds)));
        facts.extend(tests.metrics.iter().cloned());
        facts
    }

    /// The rules are the performance tests: each is a line of the report too.
    fn performance(&self, decision: &Decision, judged: &Judged, tests: &mut ModelReport) {
        let started = Instant::now();
        for (rule, answer) in self.config.gate.rules.iter().zip(&decision.rules) {
            let reason = answer.reason.clone();
            let result = if answer.passed { Ok(reason) } else { Err(reason) };
            tests.findings.push(Finding::new(format!("performance.{}", rule.name()), result, started));
        }
        let values = judged.evaluation.metrics.iter().map(|metric| (metric.name.clone(), metric.value));
        tests.metrics.splice(0..0, values);
    }
}
