//! `sidegate experiment report`: how an experiment stands, for people.

mod page;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::admin_client::Client;
use super::failure::Failure;
use super::registry::{PlaceArgs, store};
use super::{AdminArgs, say};
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
    say(&if args.json { format!("{view:#}\n") } else { text::render(&view) });
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
