//! `sidegate experiment report`: how an experiment stands, for people.

mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::admin_client::Client;
use super::failure::Failure;
use super::registry::{PlaceArgs, store};
use super::{AdminArgs, say, table};
use crate::experiment::ExperimentName;
use crate::monitor::{fleet, now};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate experiment report halves                what this sidecar knows
  sidegate experiment report halves --fleet        what all sidecars published, put together
  sidegate experiment report halves --fleet --html page.html
  sidegate experiment report halves --json | jq .report.comparisons";

/// What is done with experiments.
#[derive(Clone, Debug, Subcommand)]
pub enum ExperimentVerb {
    /// Show how an experiment stands: variants, differences with their intervals, validity, what was decided
    #[command(after_help = EXAMPLES)]
    Report(ReportArgs),
}

/// Flags of `sidegate experiment report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// The experiment
    #[arg(value_name = "EXPERIMENT")]
    pub name: ExperimentName,
    /// Put together what all sidecars published in the registry; otherwise one running sidecar is asked
    #[arg(long)]
    pub fleet: bool,
    /// The registry, with --fleet: a folder or s3://bucket/prefix [default: that of the configuration]
    #[arg(long, value_name = "URL", requires = "fleet")]
    pub registry: Option<String>,
    /// Write a page with a plot of the difference and its band
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(verb: &ExperimentVerb) -> ExitCode {
    let ExperimentVerb::Report(args) = verb;
    match report(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn report(args: &ReportArgs) -> Result<(), Failure> {
    let view = if args.fleet {
        of_fleet(args)?
    } else {
        Client::new(&args.admin)?.json(&format!("/experiments/{}", args.name))?.0
    };
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&view))
            .map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
    }
    say(&if args.json { format!("{view:#}\n") } else { render(&view) });
    Ok(())
}

fn of_fleet(args: &ReportArgs) -> Result<Value, Failure> {
    let config = super::monitor::configuration(args.admin.config.clone())?;
    let experiment = config.experiments.iter().find(|experiment| experiment.name == args.name);
    let Some(experiment) = experiment else {
        return Err(Failure::Usage(format!(
            "the configuration has no experiment `{}` that is enabled",
            args.name
        )));
    };
    let place = PlaceArgs { registry: args.registry.clone(), config: args.admin.config.clone() };
    let fleet = fleet::gather(&*store(&place)?, experiment, now())?;
    let nothing = || {
        Failure::Failed(format!("no sidecar has published anything of `{}` as it is defined now", args.name))
    };
    Ok(fleet.ok_or_else(nothing)?.view())
}

/// The report as text.
fn render(view: &Value) -> String {
    let cell = |value: &Value| table::cell(value);
    let mut text = format!(
        "{} on model {}: {} (mode {}, phase {})\n",
        cell(&view["name"]),
        cell(&view["model"]),
        cell(&view["stage"]),
        cell(&view["mode"]),
        cell(&view["phase"]),
    );
    if let Some(fleet) = view["fleet"].as_object() {
        let silent = fleet["silent"].as_array().map_or(0, Vec::len);
        text += &format!(
            "{} processes published, {} ended, {silent} silent\n",
            fleet["replicas"], fleet["ended"]
        );
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let variants: Vec<Vec<String>> = list(&view["report"]["variants"])
        .iter()
        .zip(list(&view["versions"]))
        .map(|(variant, version)| {
            let metric = &variant["metrics"][0];
            vec![
                cell(&variant["variant"]),
                cell(&version),
                cell(&variant["units"]),
                cell(&variant["requests"]),
                format!("{} {}", cell(&metric["metric"]), number(&metric["value"])),
            ]
        })
        .collect();
    text.push('\n');
    text += &table::render(
        &["VARIANT", "VERSION", "UNITS", "REQUESTS", "METRIC"],
        &["VERSION", "UNITS", "REQUESTS"],
        &variants,
    );
    let mut rows = Vec::new();
    for comparison in list(&view["report"]["comparisons"]) {
        let all = [comparison["primary"].clone()].into_iter().chain(list(&comparison["guardrails"]));
        for (at, difference) in all.enumerate().filter(|(_, difference)| !difference.is_null()) {
            let (anytime, fixed) = (&difference["anytime"], &difference["fixed"]);
            let interval = |of: &Value| {
                if of.is_null() {
                    cell(&difference["status"])
                } else {
                    format!("{} .. {}", number(&of["low"]), number(&of["high"]))
                }
            };
            let harm = if difference["harm"]["beyond"] == true { "HARM" } else { "" };
            rows.push(vec![
                cell(&comparison["variant"]),
                format!("{}{}", cell(&difference["metric"]), if at == 0 { "" } else { " (guardrail)" }),
                number(&difference["control"]["mean"]),
                number(&difference["treatment"]["mean"]),
                number(&difference["difference"]),
                interval(anytime),
                number(&anytime["p_adjusted"]),
                if fixed.is_null() {
                    "-".into()
                } else {
                    format!(
                        "p {}{}",
                        number(&fixed["p"]),
                        if fixed["planned"] == true { "" } else { ", too early" }
                    )
                },
                harm.into(),
            ]);
        }
    }
    text.push('\n');
    text += &table::render(
        &["VARIANT", "METRIC", "CONTROL", "TREATMENT", "DIFFERENCE", "AT ANY TIME", "P", "FIXED HORIZON", ""],
        &["CONTROL", "TREATMENT", "DIFFERENCE", "P"],
        &rows,
    );
    text.push('\n');
    for (name, check) in
        view["report"]["validity"].as_object().into_iter().flatten().filter(|(_, check)| check.is_object())
    {
        let word = if check["ok"] == true { "ok" } else { "INVALID" };
        text += &format!("{:<20}{word}: {}\n", name.replace('_', " "), cell(&check["detail"]));
    }
    for entry in list(&view["decisions"]) {
        text += &format!(
            "decision {:<11}{} {}: {}\n",
            cell(&entry["seq"]),
            cell(&entry["verb"]),
            cell(&entry["of"]),
            cell(&entry["why"])
        );
    }
    text
}

/// A number to six digits.
fn number(value: &Value) -> String {
    match value.as_f64() {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(number) if number.abs() >= 1e6 || number.abs() < 1e-4 => format!("{number:.2e}"),
        Some(number) => format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
