//! `sidegate pin`: what one sidecar serves, whatever the registry says.

use std::process::ExitCode;

use serde_json::json;

use super::admin_client::Client;
use super::failure::Failure;
use super::{AdminArgs, say};
use crate::model::{ModelName, Version};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate pin churn 6                             this sidecar serves version 6, whatever the registry says
  sidegate pin churn --show
  sidegate pin churn --release                     follow the registry again

A pin needs no registry and outlives a restart where there is a cache folder. It concerns one sidecar: for all of them
there is `sidegate registry rollback`.";

/// Flags of `sidegate pin`.
#[derive(Clone, Debug, clap::Args)]
pub struct PinArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The version to serve
    #[arg(value_name = "VERSION", required_unless_present_any = ["release", "show"])]
    pub version: Option<Version>,
    /// End the pin
    #[arg(long, conflicts_with = "version")]
    pub release: bool,
    /// Show the pin
    #[arg(long, conflicts_with_all = ["version", "release"])]
    pub show: bool,
    /// Which sidegate.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &PinArgs) -> ExitCode {
    match pin(args) {
        Ok(pin) if args.json => say(&format!("{:#}\n", json!({"model": args.model.as_str(), "pin": pin}))),
        Ok(Some(version)) => say(&format!("{} is pinned to version {version}\n", args.model)),
        Ok(None) => say(&format!("{} follows the registry\n", args.model)),
        Err(failure) => return failure.exit(),
    }
    ExitCode::SUCCESS
}

/// Does it; the pin that holds then.
fn pin(args: &PinArgs) -> Result<Option<String>, Failure> {
    let client = Client::new(&args.admin)?;
    let model = &args.model;
    let path = format!("/models/{model}/pin");
    if args.release {
        client.order("DELETE", &path, "")?;
    } else if let Some(version) = args.version {
        let body = json!({"version": version.to_string()}).to_string();
        client.order("POST", &path, &body).map_err(|failure| kept(failure, model))?;
    }
    of(&client, model)
}

/// A pin whose version cannot be loaded (yet) holds all the same.
fn kept(failure: Failure, model: &ModelName) -> Failure {
    match failure {
        Failure::Refused { code, text } if code == "load_failed" || code == "registry_unreachable" => {
            let text = format!(
                "{text}; the pin holds, and what served goes on until it can be loaded: `sidegate pin {model} --release` \
                 ends that"
            );
            Failure::Refused { code, text }
        }
        other => other,
    }
}

/// The version that a running sidegate is pinned to.
///
/// # Errors
/// When it does not answer, or does not know the model.
pub(super) fn of(client: &Client, model: &ModelName) -> Result<Option<String>, Failure> {
    let (models, _) = client.json("/models")?;
    let known = models.as_array().and_then(|list| list.iter().find(|known| known["name"] == model.as_str()));
    let known = known.ok_or_else(|| {
        Failure::Failed(format!(
            "this sidegate knows no model `{model}`; `sidegate models` shows what it serves"
        ))
    })?;
    Ok(known["pin"].as_str().map(str::to_owned))
}
