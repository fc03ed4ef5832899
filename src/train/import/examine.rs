//! A model is asked the rows of a file: examples, a reference, and what it is worth.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sidegate::config::EngineChoice;
use sidegate::format::Model as File;
use sidegate::serving::admission;

use super::answers::{Answers, Meant, Target};
use super::rows::Rows;
use super::shown::Shown;
use super::{Found, ImportArgs};
use crate::evaluate::{Bootstrap, Evaluation, Predictions, Settings};
use crate::failure::Failure;
use crate::features::Field;
use crate::package::{self, PROFILED, Package};
use crate::served::{Served, width};

/// Asks the model every row and writes what came of it into a folder.
///
/// # Errors
/// When the rows do not fit the model, it does not answer, or the target and the answers do not go together.
pub(super) fn examine(args: &ImportArgs, model: &File, data: &str, folder: &Path) -> Result<Found, Failure> {
    let rows = Rows::open(data, args.target.as_deref(), model, PROFILED)?;
    let columns = columns(model, &args.columns, &rows.fields).map_err(Failure::data)?;
    let mut served = Served::of_columns(model, EngineChoice::Auto, &rows.fields, &columns)
        .map_err(|why| Failure::Failed(format!("{}: {why}", args.file.display())))?;
    if let Some(output) = &args.prediction {
        served.predict_by(output).map_err(|why| Failure::Config(format!("--prediction: {why}")))?;
    }
    let (at, outputs) = (served.measured(), &served.signature.outputs);
    let (spec, prediction) = (outputs.get(at).cloned(), outputs.get(served.prediction()).cloned());
    let (spec, prediction) =
        spec.zip(prediction).ok_or_else(|| Failure::Failed("the model answers nothing".to_owned()))?;
    let mut answers = Answers::default();
    let mut package = Package::new(served, rows.report().rows as usize);
    rows.scan(None, &mut |raw, _| {
        package.push(raw)?;
        if args.target.is_none() || raw.rows() == 0 {
            return Ok(());
        }
        package.served.ask(raw)?;
        answers.push(package.served.outputs.get(at).ok_or("it answers nothing")?, &spec)
    })?;
    let mut found = Found {
        columns,
        labels: args.labels.clone(),
        prediction: Some(prediction.name.to_string()),
        lineage: lineage(&rows, data),
        ..Found::default()
    };
    if let Some(name) = &args.target {
        let (kind, values) = rows.target().ok_or_else(|| Failure::data(format!("`{name}` is not there")))?;
        let target = Target { name, kind, values, task: args.task, labels: &args.labels };
        let meant = answers.meant(&target, &spec, model).map_err(Failure::data)?;
        let evaluation = evaluate(&rows, answers, &meant, name)?;
        found.metrics =
            evaluation.1.named("test_").into_iter().map(|(name, value)| (name, json!(value))).collect();
        let shown = Shown { args, model, rows: &rows, data, target: name, columns: &found.columns };
        let (card, files) = shown.write(evaluation, meant.classes.as_deref().unwrap_or_default(), folder)?;
        (found.card, found.beside) = (Some(card), files);
        found.labels = meant.classes.unwrap_or_default();
    }
    let schema = package::schema(
        &package.served,
        args.target.as_ref().map(|_| &*found.labels),
        args.target.as_deref().unwrap_or_default(),
    );
    found.beside.push(write(folder, "schema.json", &serde_json::to_vec_pretty(&schema).unwrap_or_default())?);
    (found.golden, found.profile) = package.finish(folder)?;
    if let Some(path) = &found.golden {
        let bytes = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
        admission::check_examples(&bytes, model.signature())?;
    }
    Ok(found)
}

/// Names of the columns of a model's only input, if it is a matrix: those that were given, those that the file has, or all
/// of the data in their order.
fn columns(model: &File, given: &[String], fields: &[Field]) -> Result<Vec<String>, String> {
    let known = |name: &String| fields.iter().any(|field| field.name == *name);
    let [input] = model.signature().inputs.as_slice() else {
        let several = model.signature().inputs.len();
        let none = given.is_empty().then(Vec::new);
        return none.ok_or_else(|| format!("--columns is for one input, and the model has {several}"));
    };
    let own = model.columns();
    let chosen = match (given, own) {
        ([], []) if width(input) == Some(1) && known(&input.name.to_string()) => return Ok(Vec::new()),
        ([], []) => fields.iter().map(|field| field.name.clone()).collect(),
        ([], own) => own.to_vec(),
        (given, _) => given.to_vec(),
    };
    if let Some(name) = chosen.iter().find(|name| !known(name)) {
        let hint = sidegate::suggest::meant(name, fields.iter().map(|field| field.name.as_str()));
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        return Err(format!(
            "the data has no column `{name}`{hint}; it has {}; --columns names them in the model's order",
            names.join(", ")
        ));
    }
    match width(input) {
        Some(width) if width != chosen.len() => Err(format!(
            "the model takes {width} columns, and there are {}: {}; --columns names them in the model's order",
            chosen.len(),
            chosen.join(", ")
        )),
        _ => Ok(chosen),
    }
}

/// What came, held against what was answered.
fn evaluate(
    rows: &Rows,
    answers: Answers,
    meant: &Meant,
    name: &str,
) -> Result<(Predictions, Evaluation), Failure> {
    let mut truth = Vec::new();
    rows.scan(meant.classes.as_deref(), &mut |_, target| {
        if let (Some(at), Some(classes)) = (target.iter().position(|class| class.is_nan()), &meant.classes) {
            let (row, classes) = (truth.len() + at + 1, classes.join(", "));
            return Err(format!(
                "row {row}: `{name}` is none of the classes {classes}; --labels names others"
            ));
        }
        truth.extend(target.iter().map(|target| f64::from(*target)));
        Ok(())
    })?;
    let predictions = Predictions::new(meant.task, truth, answers.scores(meant.task), None);
    let predictions = predictions.map_err(Failure::data)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings {
        bootstrap: Bootstrap { threads, ..Bootstrap::default() },
        threshold: None,
        labels: meant.classes.clone().unwrap_or_default(),
    };
    let evaluation = Evaluation::of(&predictions, &[], &settings).map_err(Failure::Failed)?;
    Ok((predictions, evaluation))
}

fn lineage(rows: &Rows, data: &str) -> Map<String, Value> {
    let report = rows.report();
    let known = json!({
        "data": report.digest,
        "data_sources": [data],
        "rows": { "test": report.kept },
        "program": format!("sidegate-train {}", env!("CARGO_PKG_VERSION")),
    });
    known.as_object().cloned().unwrap_or_default()
}

/// Writes a file beside the model.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(|error| Failure::file(&path, &error))?;
    Ok(path)
}
