//! `sidegate drift`: whether what models see is what they were made for.

mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin_client::Client;
use super::failure::Failure;
use super::{AdminArgs, say, table};
use crate::drift::{Counted, Limits, Reference as Profiled};
use crate::model::{Reference, Selector};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate drift ls                                what is watched, and the alerts that are on
  sidegate drift report flight-delay               how its features differ from their reference
  sidegate drift report flight-delay@7 --html drift.html
  sidegate drift merge a.json b.json c.json        replicas together; each: curl -s HOST:8002/drift/MODEL/profile
  sidegate drift profile flight-delay --out profile.json
  sidegate drift report flight-delay --json | jq '.alerts'";

/// Features that are shown; the others differ less.
const SHOWN: usize = 20;
/// The chance that a merged window, which is looked at once, is called drifted and has not.
const MERGED_ALPHA: f64 = 1e-3;

/// What is done about drift.
#[derive(Clone, Debug, Subcommand)]
pub enum DriftVerb {
    /// List the versions that are watched, and the alerts that are on
    #[command(after_help = EXAMPLES)]
    Ls(LsArgs),
    /// Add up what replicas show (GET /drift/MODEL/profile), and how it differs from their reference
    #[command(after_help = EXAMPLES)]
    Merge(MergeArgs),
    /// Write the reference of a model's version, to be registered with its next ones (--profile)
    #[command(after_help = EXAMPLES)]
    Profile(ProfileArgs),
    /// Show how the features of a model's version differ from their reference
    #[command(after_help = EXAMPLES)]
    Report(ReportArgs),
}

/// Flags of `sidegate drift ls`.
#[derive(Clone, Debug, clap::Args)]
pub struct LsArgs {
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sidegate drift report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The model, as MODEL@7 one of its versions
    #[arg(value_name = "MODEL")]
    pub model: Reference,
    /// Show every feature, not just the 20 that differ most
    #[arg(long)]
    pub all: bool,
    /// Write a page with a histogram of each feature, reference against now
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sidegate drift merge`.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArgs {
    /// What a replica showed
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where to write the sum, in the same form; the same bytes whatever the order of files
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sidegate drift profile`.
#[derive(Clone, Debug, clap::Args)]
pub struct ProfileArgs {
    /// The model, as MODEL@7 one of its versions
    #[arg(value_name = "MODEL")]
    pub model: Reference,
    /// Where to write it, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Carries the command out.
pub(super) fn run(verb: &DriftVerb) -> ExitCode {
    let done = match verb {
        DriftVerb::Ls(args) => list(args),
        DriftVerb::Report(args) => report(args),
        DriftVerb::Merge(args) => merge(args),
        DriftVerb::Profile(args) => profile(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn list(args: &LsArgs) -> Result<(), Failure> {
    let view = Client::new(&args.admin)?.json("/drift")?.0;
    say(&if args.json { format!("{view:#}\n") } else { render_list(&view) });
    Ok(())
}

/// What the path of a question ends with.
fn version(model: &Reference) -> Result<String, Failure> {
    match &model.selector {
        Selector::Default => Ok(String::new()),
        Selector::Version(version) => Ok(format!("?version={version}")),
        other => {
            Err(Failure::Usage(format!("`{other}` is no version; sidegate drift ls shows their numbers")))
        }
    }
}

fn profile(args: &ProfileArgs) -> Result<(), Failure> {
    let (model, version) = (&args.model.name, version(&args.model)?);
    let path = format!("/drift/{model}/profile{version}");
    let mut view = Client::new(&args.admin)?.json(&path)?.0;
    let reference: Profiled = serde_json::from_value(view["reference"].take())
        .map_err(|e| Failure::Failed(format!("the gateway's answer cannot be read: {e}")))?;
    let bytes = reference.to_stored();
    match &args.out {
        None => say(&String::from_utf8_lossy(&bytes)),
        Some(path) => {
            std::fs::write(path, bytes).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
        }
    }
    Ok(())
}

fn merge(args: &MergeArgs) -> Result<(), Failure> {
    let mut all: Option<Counted> = None;
    for path in &args.files {
        let because = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| because(error.to_string()))?;
        let one = Counted::read(&bytes).map_err(because)?;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.merge(&one).map_err(because)?,
        }
    }
    let Some(all) = all else { return Ok(()) };
    if let Some(path) = &args.out {
        let mut bytes = serde_json::to_vec(&all).map_err(|error| Failure::Failed(error.to_string()))?;
        bytes.push(b'\n');
        std::fs::write(path, bytes).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
    }
    let found = all.evaluate(Limits { alpha: MERGED_ALPHA });
    let features: serde_json::Map<String, Value> =
        found.features.iter().map(|drift| (drift.feature.clone(), json!(drift))).collect();
    let view = json!({
        "model": all.model,
        "version": all.version,
        "state": "merged",
        "window_rows": found.rows,
        "reference_rows": found.reference_rows,
        "features": features,
        "prediction": found.prediction,
    });
    say(&if args.json { format!("{view:#}\n") } else { render(&view, SHOWN) });
    Ok(())
}

fn report(args: &ReportArgs) -> Result<(), Failure> {
    let client = Client::new(&args.admin)?;
    let version = version(&args.model)?;
    let model = &args.model.name;
    let view = client.json(&format!("/drift/{model}{version}"))?.0;
    if let Some(path) = &args.html {
        let profile = client.json(&format!("/drift/{model}/profile{version}"))?.0;
        std::fs::write(path, page::page(&view, &profile))
            .map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
    }
    let shown = if args.all { usize::MAX } else { SHOWN };
    say(&if args.json { format!("{view:#}\n") } else { render(&view, shown) });
    Ok(())
}

fn render_list(view: &Value) -> String {
    if view["on"] == false {
        return "nothing is watched: monitor.drift is false\n".into();
    }
    let versions: Vec<&Value> = view["versions"].as_array().into_iter().flatten().collect();
    let row = |version: &&Value| {
        let learned = &version["learned"];
        let state = match learned[0].as_u64() {
            Some(rows) => format!("learning, {rows} of {} rows", learned[1]),
            None => table::cell(&version["state"]),
        };
        let alerts = version["alerts"].as_array().map_or(0, Vec::len);
        let mut row =
            ["model", "version", "features", "rows"].map(|name| table::cell(&version[name])).to_vec();
        row.extend([state, table::bytes(&version["bytes"]), alerts.to_string()]);
        row
    };
    let heads = &["MODEL", "VERSION", "FEATURES", "ROWS", "STATE", "MEMORY", "ALERTS"];
    let rows: Vec<_> = versions.iter().map(row).collect();
    let mut text = table::render(heads, &["VERSION", "FEATURES", "ROWS", "MEMORY", "ALERTS"], &rows);
    versions.iter().for_each(|version| text += &alerts(version));
    text
}

/// A line per alert.
fn alerts(version: &Value) -> String {
    let of = format!("{} {}", table::cell(&version["model"]), table::cell(&version["version"]));
    let line = |alert: &Value| {
        let [kind, feature, detail] = ["kind", "feature", "detail"].map(|name| table::cell(&alert[name]));
        let seconds = |name: &str| alert[name].as_u64().unwrap_or_default() / 1000;
        let ago = seconds("last").saturating_sub(seconds("since"));
        format!("ALERT {of}: {kind} of {feature}, seen for {ago} s and last like this: {detail}\n")
    };
    version["alerts"].as_array().into_iter().flatten().map(line).collect()
}

/// Features of a report, those that differ most first.
fn ranked(view: &Value) -> Vec<&Value> {
    let features = view["features"].as_object().into_iter().flat_map(serde_json::Map::values);
    let mut ranked: Vec<&Value> = features.collect();
    ranked
        .sort_by(|a, b| b["effect"].as_f64().unwrap_or(0.0).total_cmp(&a["effect"].as_f64().unwrap_or(0.0)));
    // What is predicted comes first: it is what drift is feared for.
    ranked.splice(0..0, Some(&view["prediction"]).filter(|prediction| prediction.is_object()));
    ranked
}

fn render(view: &Value, shown: usize) -> String {
    let [model, version, state] = ["model", "version", "state"].map(|name| table::cell(&view[name]));
    let mut text = format!("{model} version {version}: {state}");
    for (name, value) in [("window", &view["window_rows"]), ("reference", &view["reference_rows"])] {
        if !value.is_null() {
            text += &format!(", {name} of {value} rows");
        }
    }
    text.push('\n');
    let number = |value: &Value| match value.as_f64() {
        None => "-".to_owned(),
        Some(0.0) => "0".into(),
        Some(number) if number.abs() < 1e-3 => format!("{number:.1e}"),
        Some(number) => format!("{number:.3}"),
    };
    let ranked = ranked(view);
    let row = |drift: &&Value| {
        let mut row = vec![table::cell(&drift["feature"]), table::cell(&drift["status"])];
        row.extend(["ks", "chi2"].map(|name| number(&drift[name])));
        row.push(number(&drift["psi"]["value"]));
        row.extend(
            ["js", "cramers_v", "mean_shift", "p_adjusted", "effect"].map(|name| number(&drift[name])),
        );
        row.push(if drift["beyond"] == true { "DRIFT".into() } else { String::new() });
        row
    };
    let rows: Vec<_> = ranked.iter().take(shown).map(row).collect();
    let heads = &["FEATURE", "STATUS", "KS", "CHI2", "PSI", "JS", "V", "SHIFT", "P ADJUSTED", "EFFECT", ""];
    if !rows.is_empty() {
        text.push('\n');
        text += &table::render(heads, &heads[2..10], &rows);
    }
    if ranked.len() > shown {
        text += &format!("{} more features differ less; --all shows them\n", ranked.len() - shown);
    }
    for problem in view["problems"].as_array().into_iter().flatten() {
        let [kind, feature, detail] = ["kind", "feature", "detail"].map(|name| table::cell(&problem[name]));
        text += &format!("problem {kind} of {feature}: {detail}\n");
    }
    text + &alerts(view)
}
