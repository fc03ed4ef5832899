//! `sidegate registry rollback`: back to what was in Production before, for all sidecars or on one.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::place::{self, WriterArgs};
use super::{changed, print, remark};
use crate::cli::AdminArgs;
use crate::cli::admin_client::Client;
use crate::cli::failure::Failure;
use crate::cli::pin;
use crate::model::{ModelName, Version};
use crate::registry::operations::{Rollback, rollback};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry rollback churn --why \"refunds doubled\"
  sidegate registry rollback churn --to 5           not to the one before, but to this one
  sidegate registry rollback churn --local          on one sidecar, through its admin port; needs no registry

The version is held there, so that automation does not undo it; `sidegate registry hold MODEL --release` ends that.
With --local the sidecar is pinned to what it served before; `sidegate pin MODEL --release` ends that.";

/// Flags of `sidegate registry rollback`.
#[derive(Clone, Debug, clap::Args)]
pub struct RollbackArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The version to go back to [default: the one that was in Production before]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// Why, for the audit and for those who meet the hold
    #[arg(long, value_name = "TEXT", default_value = "rolled back")]
    pub why: String,
    /// Do it even if the version's files are gone from the registry
    #[arg(long)]
    pub no_check: bool,
    /// Private key to sign the promotion with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Roll one running sidegate back and leave the registry as it is
    #[arg(long, conflicts_with_all = ["to", "why", "no_check", "key", "registry", "by"])]
    pub local: bool,
    /// Address of its admin port [default: that of the configuration]
    #[arg(long, value_name = "ADDR", requires = "local")]
    pub admin: Option<String>,
    /// File with the token of its admin port [default: that of the configuration]
    #[arg(long, value_name = "FILE", requires = "local")]
    pub token_file: Option<PathBuf>,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &RollbackArgs) -> Result<(), Failure> {
    if args.local {
        return local(args);
    }
    let key = place::key(args.key.as_deref())?;
    let back = Rollback { to: args.to, why: args.why.clone(), check: !args.no_check };
    let done = rollback(&args.writer.open()?, &args.model, &back, key.as_ref())?;
    let model = &args.model;
    print(args.json, &changed(model, &done), || {
        let from = done.value.from.filter(|from| *from != done.value.to);
        let from = from.map(|from| format!(", and no longer {from}")).unwrap_or_default();
        format!(
            "version {} of {model} is in Production{from}\nit is held there; `sidegate registry hold {model} --release{}` \
             ends that\n",
            done.value.to,
            args.writer.place.again()
        )
    });
    remark(args.json, &done.value.notes);
    Ok(())
}

/// On one sidecar.
fn local(args: &RollbackArgs) -> Result<(), Failure> {
    let (admin, token_file) = (args.admin.clone(), args.token_file.clone());
    let client = Client::new(&AdminArgs { admin, token_file, config: args.writer.place.config.clone() })?;
    let model = &args.model;
    client.order("POST", &format!("/models/{model}/rollback"), "")?;
    let to = pin::of(&client, model)?;
    let value: Value = json!({"model": model.as_str(), "pin": to});
    print(args.json, &value, || {
        let to = to.unwrap_or_else(|| "the one before".into());
        format!(
            "this sidecar serves version {to} of {model}, whatever the registry says; `sidegate pin {model} --release` \
             ends that\n"
        )
    });
    Ok(())
}
