//! `sidegate-train import`: a model trained elsewhere becomes a version with what one trained here carries.

mod answers;
mod examine;
mod rows;
mod shown;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sidegate::config::EngineChoice;
use sidegate::engine::{self, LoadOptions};
use sidegate::format::{FORMATS, Format, Model as File};
use sidegate::model::{ModelName, Stage, Version};
use sidegate::registry::index::is_alias;
use sidegate::registry::operations::{self, Registered, Registration};
use sidegate::registry::writer::{Done, Writer};

use crate::cli::print;
use crate::config::{RegistryConfig, TaskName};
use crate::evaluate::Card;
use crate::failure::Failure;
use crate::registry;

pub(crate) const EXAMPLES: &str = "\
Examples:
  sidegate-train import churn model.onnx
  sidegate-train import churn booster.ubj --data holdout.csv --target churned --stage Staging
  sidegate-train import iris sklearn.onnx --data iris.parquet --target species --labels setosa,versicolor,virginica
  sidegate-train import price model.txt --data rows.csv --columns rooms,area,year --alias candidate --metric cv_rmse=12.3

The model file is ONNX, .ubj or .json of XGBoost, or .txt of LightGBM. With --data it is asked every row: the first become golden
examples, all a reference for the monitor, and with --target metrics with intervals, report.html and card.md. An input
takes the column that is called as it is; a model with one matrix takes the columns that it names itself, those of
--columns, or all but the target in the order of the file. What cannot be served or asked is refused, with nothing changed.

Exit codes: 0 clean, 1 the model cannot be served, 2 usage, 3 and 5 the data, 6 the registry.";

/// Flags of `sidegate-train import`.
#[derive(clap::Args)]
pub(crate) struct ImportArgs {
    /// The model in the registry; a new one is made
    #[arg(value_name = "MODEL")]
    model: ModelName,
    /// The model file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Rows to ask it: a CSV or Parquet file, a folder of such, or a pattern
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// The column with what should come out
    #[arg(long, value_name = "COLUMN", requires = "data")]
    target: Option<String>,
    /// What the target is [default: as the model answers]
    #[arg(long, value_name = "TASK", value_parser = task, requires = "target")]
    task: Option<TaskName>,
    /// Columns of the model's only input, in its order
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Class labels, in the order of the probabilities
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    labels: Vec<String>,
    /// The output that predicts [default: probabilities, or the first]
    #[arg(long, value_name = "OUTPUT")]
    prediction: Option<String>,
    /// A free label; may be repeated
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// A metric that is known already; may be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = metric)]
    metric: Vec<(String, f64)>,
    /// Put it into this stage at once: Staging, Production or Archived
    #[arg(long, value_name = "STAGE", value_parser = stage, default_value = "None", hide_default_value = true)]
    stage: Stage,
    /// Let this alias mean it
    #[arg(long, value_name = "ALIAS", value_parser = alias)]
    alias: Option<String>,
    /// Say that changed inputs or outputs are meant; without it gateways refuse them
    #[arg(long)]
    breaking: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// The registry: a folder, or s3://bucket/prefix [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// The gateway's configuration [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who does this, as the audit will say (default: user@host)
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// What is known of a model and its rows, before anything is registered.
#[derive(Default)]
struct Found {
    golden: Option<PathBuf>,
    profile: Option<PathBuf>,
    beside: Vec<PathBuf>,
    columns: Vec<String>,
    labels: Vec<String>,
    prediction: Option<String>,
    card: Option<Card>,
    metrics: Map<String, Value>,
    lineage: Map<String, Value>,
}

/// Carries the command out.
///
/// # Errors
/// What the model, the rows or the registry have against it; nothing is visible then.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let place =
        RegistryConfig { url: args.registry.clone(), config: args.config.clone(), by: args.by.clone() };
    let writer = registry::open(&place)?;
    let done = import(args, &writer).map_err(|failure| failure.remark("nothing was changed"))?;
    let alias = args.alias.as_ref().map(|alias| name(args, alias, &writer, &done.0));
    print(&format!("{}\n", result(args, &done)));
    alias.transpose()?;
    let Registered { version, promoted, .. } = &done.0.value;
    if args.stage != Stage::None && promoted.is_none() {
        let (model, stage) = (&args.model, args.stage.name());
        return Err(Failure::Registry(format!(
            "version {version} of {model} is registered, and is not in {stage}"
        )));
    }
    Ok(())
}

/// Examines the model and registers it.
fn import(args: &ImportArgs, writer: &Writer) -> Result<(Done<Registered>, Found), Failure> {
    let model = read(&args.file)?;
    let scratch =
        tempfile::tempdir().map_err(|error| Failure::Failed(format!("a folder to work in: {error}")))?;
    let found = match &args.data {
        Some(data) => examine::examine(args, &model, data, scratch.path())?,
        None => alone(args, &model)?,
    };
    let registration = registration(args, &model, &found);
    let done = operations::register(writer, &args.model, &registration, None, &mut |_, _, _| ())?;
    Ok((done, found))
}

/// A model file, as a gateway would read it.
fn read(path: &Path) -> Result<File, Failure> {
    let named = |what: &dyn std::fmt::Display| Failure::Failed(format!("{}: {what}", path.display()));
    let format = Format::of(path).ok_or_else(|| {
        let endings: Vec<&str> = FORMATS.iter().map(|format| format.extension()).collect();
        Failure::Config(format!(
            "{} is no model file: its name ends with none of .{}",
            path.display(),
            endings.join(", .")
        ))
    })?;
    let bytes = std::fs::read(path).map_err(|error| named(&error))?;
    File::parse(format, bytes).map_err(|error| named(&format!("it cannot be served: {error}")))
}

/// What is known of a model that is asked nothing.
fn alone(args: &ImportArgs, model: &File) -> Result<Found, Failure> {
    engine::load(model, EngineChoice::Auto, &LoadOptions { workers: 1 })
        .map_err(|error| Failure::Failed(format!("{}: it cannot be served: {error}", args.file.display())))?;
    let outputs = &model.signature().outputs;
    if let Some(name) =
        args.prediction.as_ref().filter(|name| outputs.iter().all(|spec| *spec.name != ***name))
    {
        let names: Vec<&str> = outputs.iter().map(|spec| &*spec.name).collect();
        return Err(Failure::Config(format!(
            "--prediction: it has no output `{name}`; it has {}",
            names.join(", ")
        )));
    }
    let width = match model.signature().inputs.as_slice() {
        [input] => crate::served::width(input),
        inputs if !args.columns.is_empty() => {
            return Err(Failure::Config(format!("--columns is for one input, and it has {}", inputs.len())));
        }
        _ => None,
    };
    let given = args.columns.len();
    if let Some(width) = width.filter(|width| given > 0 && *width != given) {
        return Err(Failure::Config(format!("--columns: {given} names for {width} columns")));
    }
    Ok(Found {
        columns: args.columns.clone(),
        labels: args.labels.clone(),
        prediction: args.prediction.clone(),
        ..Found::default()
    })
}

fn registration(args: &ImportArgs, model: &File, found: &Found) -> Registration {
    let mut tags = Map::from_iter([("imported".to_owned(), json!(model.family()))]);
    tags.extend(found.card.iter().map(|card| ("task".to_owned(), json!(card.evaluation.task))));
    tags.extend(args.tag.iter().map(|(name, text)| (name.clone(), json!(text))));
    let mut metrics = found.metrics.clone();
    metrics.extend(args.metric.iter().map(|(name, number)| (name.clone(), json!(number))));
    Registration {
        golden: found.golden.clone(),
        profile: found.profile.clone(),
        beside: found.beside.clone(),
        stage: args.stage,
        tags,
        metrics,
        lineage: found.lineage.clone(),
        columns: found.columns.clone(),
        prediction: found.prediction.clone(),
        labels: found.labels.clone(),
        breaking: args.breaking,
        signature: Some(model.signature().clone()),
        why: args.why.clone().or_else(|| Some(format!("imported from {}", file_name(&args.file)))),
        ..Registration::new(&args.file)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Moves the alias; the version is there whatever becomes of it.
fn name(args: &ImportArgs, alias: &str, writer: &Writer, done: &Done<Registered>) -> Result<(), Failure> {
    let Some(version) = Version::new(done.value.version) else { return Ok(()) };
    let moved = operations::set_alias(writer, &args.model, alias, version, args.why.as_deref());
    moved.map(drop).map_err(|error| {
        let model = &args.model;
        Failure::Registry(format!(
            "version {version} of {model} is registered, and alias `{alias}` was not moved: {error}"
        ))
    })
}

fn result(args: &ImportArgs, (done, found): &(Done<Registered>, Found)) -> Value {
    let Registered { version, digest, promoted, notes, same_as, .. } = &done.value;
    json!({
        "status": "success",
        "model": args.model.as_str(),
        "version": version,
        "digest": digest,
        "stage": promoted.as_ref().map(|promoted| promoted.stage.name()),
        "golden": found.golden.is_some(),
        "profile": found.profile.is_some(),
        "columns": found.columns,
        "metrics": found.metrics,
        "same_as": same_as,
        "notes": notes,
    })
}

fn task(text: &str) -> Result<TaskName, String> {
    match text {
        "regression" => Ok(TaskName::Regression),
        "classification" => Ok(TaskName::Classification),
        _ => Err("regression or classification".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "a name, `=` and a value".to_owned())
}

fn metric(text: &str) -> Result<(String, f64), String> {
    let number = |(name, number): (String, String)| Some((name, number.parse::<f64>().ok()?));
    let found = pair(text).ok().and_then(number).filter(|(_, number)| number.is_finite());
    found.ok_or_else(|| "a name, `=` and a number, such as auc=0.81".to_owned())
}

fn stage(text: &str) -> Result<Stage, String> {
    Stage::parse(text).ok_or_else(|| "None, Staging, Production or Archived".to_owned())
}

fn alias(text: &str) -> Result<String, String> {
    let refused = || "a name that is neither a whole number nor a stage".to_owned();
    is_alias(text).then(|| text.to_owned()).ok_or_else(refused)
}
