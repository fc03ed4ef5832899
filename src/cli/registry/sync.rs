//! `sidegate registry sync`: a running sidegate looks at the registry now instead of at its next interval.

use serde_json::json;

use super::print;
use crate::cli::admin_client::Client;
use crate::cli::failure::Failure;
use crate::cli::{AdminArgs, pin};
use crate::model::ModelName;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry sync                           every model; `sidegate models` shows what came of it
  sidegate registry sync churn                     one model: exit code 1 if it cannot be served as the registry says
  sidegate registry sync churn --admin 127.0.0.1:8002";

/// Flags of `sidegate registry sync`.
#[derive(Clone, Debug, clap::Args)]
pub struct SyncArgs {
    /// The model [default: all]
    #[arg(value_name = "MODEL")]
    pub model: Option<ModelName>,
    /// Which sidegate.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &SyncArgs) -> Result<(), Failure> {
    let client = Client::new(&args.admin)?;
    let path =
        args.model.as_ref().map_or_else(|| "/sync".to_owned(), |model| format!("/models/{model}/sync"));
    client.order("POST", &path, "")?;
    let model = args.model.as_ref().map(ModelName::as_str);
    let pin = args.model.as_ref().map(|model| pin::of(&client, model)).transpose()?.flatten();
    print(args.json, &json!({"synced": true, "model": model, "pin": pin}), || match (model, &pin) {
        (Some(model), Some(version)) => format!(
            "{model} is pinned to version {version}, whatever the registry says; `sidegate pin {model} --release` ends that\n"
        ),
        (Some(model), None) => format!("{model} is as the registry says\n"),
        (None, _) => "the registry was looked at; `sidegate models` shows what is served\n".into(),
    });
    Ok(())
}
