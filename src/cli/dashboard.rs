//! `sidegate dashboard`: what there is to see of a model, for tools that draw it.

mod grafana;
mod panels;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::Failure;
use super::say;
use crate::model::ModelName;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate dashboard grafana churn > churn.json     for Grafana: Dashboards, New, Import
  sidegate dashboard grafana churn --out dashboards/churn.json --datasource prometheus-main

It needs no running sidegate. The panels ask a Prometheus that scrapes the sidecars (docs/monitoring.md).";

/// Who draws it.
#[derive(Clone, Debug, Subcommand)]
pub enum DashboardVerb {
    /// Print a model's dashboard as Grafana imports it
    #[command(after_help = EXAMPLES)]
    Grafana(GrafanaArgs),
}

/// Flags of `sidegate dashboard grafana`.
#[derive(Clone, Debug, clap::Args)]
pub struct GrafanaArgs {
    /// The model, by the name that its metrics have
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The uid of the data source that is chosen at first; the dashboard lets one choose another
    #[arg(long, value_name = "UID", default_value = "default")]
    pub datasource: String,
}

/// Carries the command out.
pub(super) fn run(verb: &DashboardVerb) -> ExitCode {
    let DashboardVerb::Grafana(args) = verb;
    match print(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn print(args: &GrafanaArgs) -> Result<(), Failure> {
    let text = format!("{:#}\n", grafana::dashboard(args.model.as_str(), &args.datasource));
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))
        }
        None => {
            say(&text);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
