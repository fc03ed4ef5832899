//! `sidegate registry register`: a new version from local files.

mod files;
mod upload;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use self::files::Files;
use self::upload::Upload;
use super::place::{self, PlaceArgs, WriterArgs};
use super::promote::{alias, archived};
use super::{changed, print, remark, stage, text};
use crate::cli::failure::Failure;
use crate::model::{ModelName, Stage, Version};
use crate::registry::operations::{Registered, register, set_alias};
use crate::registry::writer::{Done, Writer};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry register churn ./model.onnx
  sidegate registry register churn ./model.onnx --golden golden.json --metric auc=0.81 --run 118 --parent 7
  sidegate registry register churn ./model.onnx --stage Staging --alias challenger --tag team=growth
  sidegate registry register churn ./model.onnx --stage Production --why \"auc 0.81, was 0.79\" --evidence run:118
  sidegate registry register churn models/churn/7 --registry other-models

The model file (.onnx, .ubj or .json of XGBoost, .txt of LightGBM) is read first: what could not be served is refused,
with nothing changed. `sidegate test` proves more. Of a version's folder, golden.json, profile.json and what manifest.json
says are taken over; flags go before it. Golden examples are requests with the answers they must get; a version that answers
otherwise is never served.";

/// Flags of `sidegate registry register`.
#[derive(Clone, Debug, clap::Args)]
pub struct RegisterArgs {
    /// The model; a new one is made
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The model file, or the folder of a version
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Golden examples: requests with their answers, in the form of golden.json
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// How features were distributed when the model was made, in the form of profile.json (sidegate drift profile)
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// A free label; may be repeated
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    pub tag: Vec<(String, String)>,
    /// An evaluation metric; may be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = metric)]
    pub metric: Vec<(String, f64)>,
    /// A training parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub param: Vec<(String, String)>,
    /// File with a JSON object of metrics
    #[arg(long, value_name = "FILE.json")]
    pub metrics_file: Option<PathBuf>,
    /// The training run it comes from
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
    /// What it was trained on, such as a digest or a URL; may be repeated
    #[arg(long, value_name = "SOURCE")]
    pub data_source: Vec<String>,
    /// The version it was made from
    #[arg(long, value_name = "VERSION")]
    pub parent: Option<Version>,
    /// The code that made it, such as git:4f2c1d0
    #[arg(long, value_name = "REVISION")]
    pub code: Option<String>,
    /// Feature names of a model with one tensor input, in order
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Class labels, in the order of the probabilities
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// The output that /predict answers with
    #[arg(long, value_name = "OUTPUT")]
    pub prediction: Option<String>,
    /// Say that changed inputs or outputs are meant; without it readers refuse them
    #[arg(long)]
    pub breaking: bool,
    /// Put it into this stage at once: Staging, Production or Archived
    #[arg(long, value_name = "STAGE", value_parser = stage, default_value = "None", hide_default_value = true)]
    pub stage: Stage,
    /// Let this alias mean it
    #[arg(long, value_name = "ALIAS", value_parser = alias)]
    pub alias: Option<String>,
    /// Private key to sign it with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// What that rests on, for the audit: run:118, a report, a ticket
    #[arg(long, value_name = "TEXT")]
    pub evidence: Option<String>,
    /// Register it even if this sidegate could not serve it
    #[arg(long)]
    pub no_check: bool,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let key = place::key(args.key.as_deref())?;
    let writer = args.writer.open()?;
    let files = Files::read(args)?;
    let registration = files.registration(args)?;
    let upload = Upload::new();
    let done = register(&writer, &args.model, &registration, key.as_ref(), &mut |file, done, of| {
        upload.tell(file, done, of);
    });
    drop(upload);
    let done = done?;
    let named = args.alias.as_ref().map(|alias| name(args, alias, &writer, &done)).transpose();
    let has_golden = registration.golden.is_some();
    let mut value = changed(&args.model, &done);
    value["golden"] = json!(has_golden);
    value["alias"] = json!(named.as_ref().ok().cloned().flatten());
    print(args.json, &value, || render(args, &done.value, has_golden));
    let promoted = done.value.promoted.iter().flat_map(|promoted| promoted.notes.clone());
    let notes: Vec<String> =
        files.remark.into_iter().chain(done.value.notes.clone()).chain(promoted).collect();
    remark(args.json, &notes);
    named?;
    if args.stage != Stage::None && done.value.promoted.is_none() {
        let (version, model, stage) = (done.value.version, &args.model, args.stage.name());
        return Err(Failure::Failed(format!(
            "version {version} of {model} is registered, and is not in {stage}"
        )));
    }
    Ok(())
}

/// Moves the alias; it comes after the version, which is there whatever becomes of it.
fn name(
    args: &RegisterArgs,
    alias: &str,
    writer: &Writer,
    done: &Done<Registered>,
) -> Result<String, Failure> {
    let number = done.value.version;
    let Some(version) = Version::new(number) else { return Ok(alias.to_owned()) };
    let moved = set_alias(writer, &args.model, alias, version, args.why.as_deref());
    moved.map(|_| alias.to_owned()).map_err(|error| {
        Failure::Failed(format!(
            "version {number} of {} is registered, and alias `{alias}` was not moved: {error}",
            args.model
        ))
    })
}

fn render(args: &RegisterArgs, registered: &Registered, has_golden: bool) -> String {
    let (model, version) = (&args.model, registered.version);
    let mut text = format!("registered version {version} of {model} ({})\n", registered.digest);
    if !registered.adopted.is_empty() {
        text += &format!("taken over: {}\n", text::list(&registered.adopted));
    }
    if let Some(promoted) = &registered.promoted {
        text += &format!("it is in {}\n", promoted.stage.name());
        text += &archived(promoted);
    }
    if !has_golden {
        text += "it has no golden examples to prove its answers before it serves; give some with --golden golden.json\n";
    }
    if args.stage != Stage::Production {
        let again = PlaceArgs::again(&args.writer.place);
        let key = args.key.as_ref().map(|key| format!(" --key {}", key.display())).unwrap_or_default();
        text +=
            &format!("next: sidegate registry promote {model} {version} --stage Production{key}{again}\n");
    }
    text
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "a name, `=` and a value".into())
}

fn metric(text: &str) -> Result<(String, f64), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let pair = pair.and_then(|(name, number)| Some((name.to_owned(), number.parse::<f64>().ok()?)));
    pair.filter(|(_, number)| number.is_finite())
        .ok_or_else(|| "a name, `=` and a number, such as auc=0.81".into())
}

/// A parameter: a number or a truth value where it reads as one, else a text.
fn param(text: &str) -> Value {
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.filter(|value| value.is_number() || value.is_boolean()).unwrap_or_else(|| json!(text))
}

/// What is known of the metrics, the flags last.
fn metrics(args: &RegisterArgs) -> Result<Map<String, Value>, Failure> {
    let mut metrics = Map::new();
    if let Some(path) = &args.metrics_file {
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::Usage(format!("--metrics-file: {}: {what}", path.display()))
        };
        let text = std::fs::read(path).map_err(|error| wrong(&error))?;
        metrics = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        if let Some((name, _)) = metrics.iter().find(|(_, value)| !value.is_number()) {
            return Err(wrong(&format!("`{name}` is no number; what is wanted is {{\"auc\": 0.81}}")));
        }
    }
    metrics.extend(args.metric.iter().map(|(name, number)| (name.clone(), json!(number))));
    Ok(metrics)
}
