//! The steps of a training, one after another.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use sidegate::format::{Format, Model as File};
use sidegate::model::Version;
use sidegate::registry::writer::Writer;

use crate::config::Config;
use crate::data::validate::Finding;
use crate::data::{Access, Data};
use crate::evaluate::card::{Card, Interface, Lineage, Port, Proof, Usage};
use crate::evaluate::{Champion, Comparison, Decision, card, plot, report};
use crate::failure::Failure;
use crate::features::{Answer, Classes, Features, Fitter, Recipe, export};
use crate::judge::{self, Judged, Slices};
use crate::learner::{Fitted, Learner};
use crate::package::{self, Package};
use crate::predictor::Predictor;
use crate::progress::Progress;
use crate::prove::Prover;
use crate::registry;
use crate::rows::Source;
use crate::run::{Run, Step};
use crate::search::{self, Trained};
use crate::served::Served;
use crate::spool::{Filling, Spool, fill};
use crate::table::{Part, Round, Rows};
use crate::tracking;

/// A training on its way.
pub(crate) struct Pipeline<'a> {
    pub(crate) config: &'a Config,
    pub(crate) run: Run,
    pub(crate) progress: Progress,
    /// The last step that is taken.
    pub(crate) until: Step,
    /// Where versions go; none where nothing is registered.
    pub(crate) writer: Option<Writer>,
    /// The version in Production when it began.
    pub(crate) parent: Option<Version>,
    /// How it learned, for those who draw it.
    pub(crate) rounds: Vec<Round>,
    /// Digest of the version's manifest, once it is registered.
    pub(crate) digest: Option<String>,
}

/// Ends a training early, and well.
type Reached<T> = Result<Option<T>, Failure>;

impl Pipeline<'_> {
    /// Takes all steps.
    ///
    /// # Errors
    /// The fault that ended it; what was registered before stays.
    pub(crate) fn go(&mut self) -> Result<(), Failure> {
        let outcome = self.steps().map(drop);
        self.run.end(outcome.as_ref().err())?;
        if let Some(writer) = &self.writer {
            registry::record(writer, &self.run, &mut self.progress);
        }
        tracking::tell(self);
        outcome
    }

    fn steps(&mut self) -> Reached<()> {
        // What would be in vain is told before hours of work.
        if let Some(writer) = &self.writer {
            self.parent = registry::in_production(writer, &self.config.name)?;
        }
        let Some(source) = self.source()? else { return Ok(None) };
        let Some((recipe, mut spool, slices)) = self.features(&source)? else { return Ok(None) };
        if !self.split(&spool)? {
            return Ok(None);
        }
        let Some(trained) = self.train(&source, &mut spool)? else { return Ok(None) };
        let judged = judge::judge(self.config, &source, &spool, &trained, &slices)?;
        self.run.record.metrics = judge::named(&judged.evaluation);
        let metrics = self.run.record.metrics.clone();
        if !self.over(Step::Evaluate, &headline(&metrics), json!({ "metrics": metrics }))? {
            return Ok(None);
        }
        let Trained { fitted, rounds, params } = trained;
        self.rounds = rounds;
        let model = self.model(&source, &recipe, &fitted)?;
        let champion = self.champion(&source, &judged)?;
        let facts = self.facts(&model, &spool);
        let decision = self.gate(&judged, &champion, &facts)?;
        let comparison = champion.and_then(Result::ok);
        let mut card = self.card(&source, &spool, (judged, &params), comparison, decision, facts)?;
        let refusals: Vec<String> =
            card.gate.iter().flat_map(Decision::refusals).map(str::to_owned).collect();
        self.show(&mut card, &fitted)?;
        if !refusals.is_empty() {
            return Err(Failure::Gate(format!("the gate refuses: {}", refusals.join("; "))));
        }
        if !self.over(Step::Gate, "passed", json!({}))? {
            return Ok(None);
        }
        let path = self.run.write("model.onnx", &model)?;
        let words = format!("{} ({} bytes)", path.display(), model.len());
        if !self.over(Step::Export, &words, json!({ "bytes": model.len() }))? {
            return Ok(None);
        }
        card.proof = self.prove(&source, &recipe, &fitted, &model)?;
        self.show(&mut card, &fitted)?;
        let proven: Vec<String> =
            card.proof.iter().map(|proof| format!("{} {:.1e}", proof.engine, proof.largest)).collect();
        if !self.over(Step::Prove, &proven.join(", "), json!({ "proof": card.proof }))? {
            return Ok(None);
        }
        registry::publish(self, &source, &recipe, &card)
    }

    /// A step is over: says so, and whether to go on.
    pub(crate) fn over(
        &mut self,
        step: Step,
        words: &str,
        numbers: serde_json::Value,
    ) -> Result<bool, Failure> {
        let seconds = self.run.done(step)?;
        let mut numbers = numbers;
        numbers["seconds"] = json!((seconds * 1000.0).round() / 1000.0);
        self.progress.say(step.name(), words, numbers);
        Ok(step < self.until)
    }

    fn source(&mut self) -> Reached<Source> {
        let config = self.config;
        let data = self.load()?;
        let origin = data.origin().to_owned();
        if !self.over(Step::Load, &origin, json!({ "columns": data.columns().len() }))? {
            return Ok(None);
        }
        let schema = config.validation.schema()?;
        let now = i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000);
        let classes = config.task.map(|task| task == crate::config::TaskName::Classification);
        let classes = classes.or(config.kind.only_classes()).unwrap_or_else(|| data.target_is_class());
        let validated = data.validate(&schema, classes, now.unwrap_or(i64::MAX))?;
        let report = &validated.report;
        self.run.write("validation.json", report.json())?;
        self.run.write("validation.html", report.html())?;
        self.run.record.data = json!({ "source": data.origin(), "digest": report.digest, "rows": report.rows, "from": report.first_date, "to": report.last_date });
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
        config.gate.check(source.task).map_err(Failure::Config)?;
        config.export.check(source.classes.is_some()).map_err(Failure::Config)?;
        if let Some(search) = &config.search {
            search.metric(source.task, false).map_err(Failure::Config)?;
        }
        Ok(self.over(Step::Validate, &words, numbers)?.then_some(source))
    }

    /// Opens the data, again after a while where it is out of reach.
    fn load(&mut self) -> Result<Data, Failure> {
        let config = self.config;
        let bucket = |url: &str| registry::bucket(config, url);
        let access = Access { environment: &crate::environment::variable, bucket: &bucket };
        let mut left = config.retry.retries;
        loop {
            match Data::open(&config.data, &config.split, &access).map_err(Failure::from) {
                Err(Failure::Data { text, transient: true }) if left > 0 => {
                    let seconds = config.retry.delay_seconds;
                    let words = format!("{text}; again in {seconds} s, {left} tries are left");
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

    fn features(&mut self, source: &Source) -> Reached<(Recipe, Spool, Slices)> {
        let config = self.config;
        let mut fitter = Fitter::new(config.features.clone(), source.fields.clone())?;
        let (since, mut seen) = (Instant::now(), 0);
        source.scan_part(Part::Train, &mut |raw| {
            seen += raw.rows() as u64;
            self.progress.rows("features are fitted", seen, since);
            fitter.push(raw).map_err(|error| error.to_string())
        })?;
        let recipe = fitter.finish()?;
        config.export.columns(&recipe).map_err(Failure::Config)?;
        self.run.write("recipe.json", serde_json::to_vec_pretty(&recipe).unwrap_or_default())?;
        let mut features = Features::new(&recipe, source.fields.clone())?;
        let mut filling = Filling::new(&self.run.folder, features.columns().to_vec(), source.is_weighted())?;
        let mut slices = Slices::new(source, &config.evaluation.slices)?;
        let (since, mut seen) = (Instant::now(), 0);
        source.scan(&mut |rows| {
            seen += rows.rest.parts.len() as u64;
            self.progress.rows("features are computed", seen, since);
            let parts = rows.rest.parts.iter().enumerate();
            let test: Vec<usize> =
                parts.filter(|(_, part)| **part == Part::Test).map(|(row, _)| row).collect();
            slices.push(&rows.raw, &test);
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
        Ok(self.over(Step::Features, &words, numbers)?.then_some((recipe, spool, slices)))
    }

    fn split(&mut self, spool: &Spool) -> Result<bool, Failure> {
        let [train, validation, test] =
            [Part::Train, Part::Validation, Part::Test].map(|part| spool.count(part));
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

    fn train(&mut self, source: &Source, spool: &mut Spool) -> Reached<Trained> {
        let config = self.config;
        spool.constrain(&config.model.monotone)?;
        match (config.model.class_weight, &source.classes) {
            (Some(_), Some(classes)) => spool.balance(classes.len())?,
            (Some(_), None) => return Err(Failure::Config("model.class_weight is for classes".into())),
            (None, _) => {}
        }
        let learner = Learner {
            kind: config.kind,
            params: config.model.params.clone(),
            library: config.model.library.clone(),
            seed: config.seed,
            threads: config.threads,
        };
        let trained = search::train(self, learner, source, spool)?;
        let fitted = &trained.fitted;
        if let Some((format, bytes)) = &fitted.file {
            let name = match format {
                sidegate::booster::Source::LightgbmText => "learner.txt",
                sidegate::booster::Source::XgboostJson => "learner.json",
                sidegate::booster::Source::XgboostUbj => "learner.ubj",
            };
            self.run.write(name, bytes)?;
        }
        if !fitted.importance.is_empty() {
            let columns = spool.columns().iter().zip(&fitted.importance);
            let own: serde_json::Map<_, _> = columns
                .map(|(column, worth)| {
                    (column.name.clone(), json!({ "gain": worth.gain, "splits": worth.splits }))
                })
                .collect();
            self.run.write("importance.json", serde_json::to_vec_pretty(&own).unwrap_or_default())?;
        }
        let words = format!("{}, {} rounds", config.kind.name(), fitted.rounds);
        let going = self.over(
            Step::Train,
            &words,
            json!({ "rounds": fitted.rounds, "learner": config.kind.name() }),
        )?;
        Ok(going.then_some(trained))
    }

    /// The file that is served.
    fn model(&self, source: &Source, recipe: &Recipe, fitted: &Fitted) -> Result<Vec<u8>, Failure> {
        let answer = match &source.classes {
            None => Answer::Number,
            Some(classes) => {
                let numbers: Option<Vec<i64>> = classes.iter().map(|class| class.parse().ok()).collect();
                Answer::Classes(numbers.map_or_else(|| Classes::Names(classes.clone()), Classes::Numbers))
            }
        };
        Ok(export(recipe, &fitted.model, &answer, &self.config.export)?)
    }

    /// The version in Production, on the same rows; none where there is none.
    fn champion(&self, source: &Source, judged: &Judged) -> Reached<Result<Comparison, String>> {
        let Some(writer) = &self.writer else { return Ok(None) };
        let Some(champion) = registry::champion(writer, &self.config.name)? else { return Ok(None) };
        let compared = champion.and_then(|serving| {
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
        });
        Ok(Some(compared))
    }

    fn facts(&self, model: &[u8], spool: &Spool) -> BTreeMap<String, f64> {
        let trained = self.run.record.steps.iter().find(|(step, _)| *step == Step::Train);
        let mut facts = BTreeMap::from([
            ("model_bytes".to_owned(), model.len() as f64),
            ("test_rows".to_owned(), spool.count(Part::Test) as f64),
        ]);
        facts.extend(trained.map(|(_, seconds)| ("train_seconds".to_owned(), *seconds)));
        facts
    }

    fn gate(
        &self,
        judged: &Judged,
        champion: &Option<Result<Comparison, String>>,
        facts: &BTreeMap<String, f64>,
    ) -> Result<Decision, Failure> {
        let champion = match champion {
            None => Champion::Absent,
            Some(Ok(comparison)) => Champion::Compared(comparison),
            Some(Err(why)) => Champion::Unknown(why),
        };
        let decision = self.config.gate.decide(&judged.evaluation, champion, facts);
        self.run.write("gate.json", serde_json::to_vec_pretty(&decision).unwrap_or_default())?;
        Ok(decision)
    }

    fn card(
        &self,
        source: &Source,
        spool: &Spool,
        (judged, params): (Judged, &toml::Table),
        comparison: Option<Comparison>,
        gate: Decision,
        facts: BTreeMap<String, f64>,
    ) -> Result<Card, Failure> {
        let (config, report) = (self.config, &source.validated.report);
        let rows = [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)];
        let plots = match &source.classes {
            None => {
                vec![plot::predicted_vs_actual(&judged.predictions), plot::residuals(&judged.predictions)]
            }
            Some(classes) if classes.len() == 2 => vec![
                plot::roc(&judged.predictions, judged.evaluation.value("auc")),
                plot::precision_recall(&judged.predictions, judged.evaluation.value("average_precision")),
                plot::calibration(&judged.predictions, judged.evaluation.value("ece")),
            ],
            Some(_) => Vec::new(),
        };
        for plot in &plots {
            self.run.write(&format!("{}.svg", plot.name), plot.file())?;
        }
        let params = match serde_json::to_value(params) {
            Ok(serde_json::Value::Object(params)) => params.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        Ok(Card {
            format: 1,
            model: card::Model {
                name: config.name.to_string(),
                version: None,
                created: self.run.record.started.clone(),
                summary: config.card.summary.clone(),
                learner: config.kind.name().to_owned(),
                license: config.card.license.clone().unwrap_or_else(|| "other".to_owned()),
                tags: config.card.tags.clone(),
                facts,
            },
            usage: Usage {
                intended: config.card.intended.clone(),
                limitations: config.card.limitations.clone(),
            },
            data: card::Data {
                name: config.card.data.clone().unwrap_or_else(|| source.origin().to_owned()),
                source: source.origin().to_owned(),
                digest: report.digest.clone(),
                range: report.first_date.clone().zip(report.last_date.clone()).map(|(from, to)| [from, to]),
                target: source.target().to_owned(),
                rows: rows.map(|(name, part)| (name.to_owned(), spool.count(part) as u64)).into(),
                findings: report.findings.iter().map(told).collect(),
            },
            interface: Interface::default(),
            features: judged.features,
            params,
            evaluation: judged.evaluation,
            comparison,
            gate: Some(gate),
            proof: Vec::new(),
            lineage: Lineage {
                code: crate::registry::revision(),
                config: Some(config.digest.clone()),
                parent: self.parent.map(Version::get),
                run: Some(self.run.record.run.clone()),
                seed: Some(config.seed),
                program: format!("sidegate-train {}", env!("CARGO_PKG_VERSION")),
            },
        })
    }

    /// Writes everything that people look at.
    fn show(&self, card: &mut Card, fitted: &Fitted) -> Result<(), Failure> {
        let named: Vec<(String, f64)> = card
            .features
            .iter()
            .map(|feature| {
                let worth = feature.shap.or(feature.permutation.map(|shuffled| shuffled.loss));
                (feature.name.clone(), worth.unwrap_or_default())
            })
            .collect();
        let mut plots: Vec<plot::Plot> = card.evaluation.confusion.iter().map(plot::confusion).collect();
        let label = if card.features.iter().any(|feature| feature.shap.is_some()) {
            "mean |SHAP|"
        } else {
            "loss when shuffled"
        };
        plots.push(plot::bars("importance", "Importance", label, &named));
        if self.rounds.len() > 1 {
            plots.push(plot::learning_curve(&self.rounds, Some(fitted.rounds)));
        }
        for plot in &plots {
            self.run.write(&format!("{}.svg", plot.name), plot.file())?;
        }
        self.run.write("report.html", report::page(card, &plots))?;
        self.run.write("card.md", card.markdown())?;
        self.run.write("card.json", card.json().map_err(Failure::Failed)?)?;
        Ok(())
    }

    fn prove(
        &self,
        source: &Source,
        recipe: &Recipe,
        fitted: &Fitted,
        model: &[u8],
    ) -> Result<Vec<Proof>, Failure> {
        // Read back as a gateway would.
        let whole = File::parse(Format::Onnx, model.to_vec())?;
        let config = &self.config.export;
        let columns = config.columns(recipe).map_err(Failure::Config)?;
        let alone = File::parse(Format::Onnx, recipe.features_file(config.input.as_deref())?)?;
        let features = Features::new(recipe, source.fields.clone())?;
        let predictor = Predictor::new(&fitted.model, source.task).map_err(Failure::Config)?;
        let raw = (&source.fields[..], &columns[..]);
        let mut prover =
            Prover::new((&whole, &alone), features, predictor, raw, source.task).map_err(Failure::Failed)?;
        let mut served =
            Served::of_columns(&whole, sidegate::config::EngineChoice::Trees, &source.fields, &columns)
                .map_err(Failure::Failed)?;
        served.predict_by(config.prediction(source.classes.is_some())).map_err(Failure::Failed)?;
        let schema = package::schema(&served, source.classes.as_deref(), source.target());
        self.run.write("schema.json", serde_json::to_vec_pretty(&schema).unwrap_or_default())?;
        let mut package = Package::new(served);
        source.scan_part(Part::Test, &mut |raw| {
            package.push(raw)?;
            prover.push(raw)
        })?;
        package.finish(&self.run.folder)?;
        prover.finish().map_err(Failure::Failed)
    }
}

/// The interface of a model, for its card.
pub(crate) fn interface(file: &File) -> Interface {
    let ports = |specs: &[sidegate::model::TensorSpec]| {
        let port = |spec: &sidegate::model::TensorSpec| Port {
            name: spec.name.to_string(),
            datatype: spec.datatype.name().to_owned(),
            shape: spec.shape.clone(),
        };
        specs.iter().map(port).collect()
    };
    let signature = file.signature();
    Interface { inputs: ports(&signature.inputs), outputs: ports(&signature.outputs) }
}

/// A finding of the validation, in a line.
fn told(finding: &Finding) -> String {
    let examples = finding.examples.iter().take(3).map(|example| format!("`{example}`")).collect::<Vec<_>>();
    let examples = if examples.is_empty() { String::new() } else { format!(": {}", examples.join(", ")) };
    format!("{}: {}{examples}", finding.column, finding.message)
}

/// The metrics that are looked at first.
fn headline(metrics: &BTreeMap<String, f64>) -> String {
    let first = ["test_rmse", "test_mae", "test_r2", "test_auc", "test_accuracy", "test_log_loss", "test_f1"];
    let shown = first.iter().filter_map(|name| metrics.get(*name).map(|value| format!("{name} {value:.4}")));
    shown.collect::<Vec<_>>().join(", ")
}
