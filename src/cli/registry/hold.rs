//! `sidegate registry hold`: what is in Production stays there.

use super::place::WriterArgs;
use super::{changed, print, text};
use crate::cli::failure::Failure;
use crate::model::{ModelName, Version};
use crate::registry::operations::{hold, release};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry hold churn --why \"month-end closing\"
  sidegate registry hold churn 7 --why \"7 and no other\"   refused unless 7 is in Production
  sidegate registry hold churn --release            promotions to Production are possible again

While a model is held, promotions that change what is in Production are refused. Rollbacks are a person's decision and
place a hold of their own.";

/// Flags of `sidegate registry hold`.
#[derive(Clone, Debug, clap::Args)]
pub struct HoldArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The version, which must be in Production; without it the highest that is
    #[arg(value_name = "VERSION", conflicts_with = "release")]
    pub version: Option<Version>,
    /// Why, for the audit and for those who meet the hold
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// End the hold
    #[arg(long)]
    pub release: bool,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &HoldArgs) -> Result<(), Failure> {
    let (writer, model) = (args.writer.open()?, &args.model);
    let why = args.why.as_deref();
    let done = if args.release {
        release(&writer, model, why)?
    } else {
        hold(&writer, model, args.version, why.unwrap_or("no reason given"))?
    };
    print(args.json, &changed(model, &done), || {
        let held = &done.value;
        if args.release {
            let why = text::line(&held.why);
            format!(
                "{model} is not held any more; it was at version {} by {} ({why})\n",
                held.version,
                text::line(&held.by)
            )
        } else {
            format!("{model} is held at version {}\n", held.version)
        }
    });
    Ok(())
}
