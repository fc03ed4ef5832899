//! `sidegate registry promote`: a version into a stage, an alias to a version or away.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use serde_json::json;

use super::place::{self, WriterArgs};
use super::{changed, print, remark, span, stage, text};
use crate::cli::failure::Failure;
use crate::model::{ModelName, Stage, Version};
use crate::registry::index::is_alias;
use crate::registry::operations::{Promoted, Promotion, promote, remove_alias, set_alias};
use crate::registry::writer::{Done, Writer};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry promote churn 7 --stage Staging
  sidegate registry promote churn 7 --alias challenger
  sidegate registry promote churn 7 --stage Production --why \"auc 0.81, was 0.79\" --evidence run:118
  sidegate registry promote churn 7 --stage Production --rollout 10m --alias champion
  sidegate registry promote churn 7 --stage Production --override-hold --why \"ann agrees\"
  sidegate registry promote churn --remove-alias challenger

What was in Production goes to Archived, unless --keep-existing. With --rollout each sidecar follows at a moment of its
own within that time. A held model is not promoted: end that with `sidegate registry hold MODEL --release`, or in the
same change with --override-hold, which is for people and not for automation.";

/// Flags of `sidegate registry promote`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("aim").args(["stage", "alias", "remove_alias"]).required(true).multiple(true)))]
pub struct PromoteArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The version
    #[arg(value_name = "VERSION", required_unless_present = "remove_alias")]
    pub version: Option<Version>,
    /// Where to: None, Staging, Production or Archived
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Option<Stage>,
    /// Let this alias mean the version
    #[arg(long, value_name = "ALIAS", value_parser = alias)]
    pub alias: Option<String>,
    /// Take this alias away
    #[arg(long, value_name = "ALIAS", value_parser = alias, conflicts_with_all = ["version", "stage", "alias"])]
    pub remove_alias: Option<String>,
    /// Leave what is in Production there
    #[arg(long, requires = "stage")]
    pub keep_existing: bool,
    /// Let sidecars follow one after another within this time, such as 10m
    #[arg(long, value_name = "TIME", value_parser = span::duration, requires = "stage")]
    pub rollout: Option<Duration>,
    /// Release a hold on the model, which the audit says
    #[arg(long, requires = "stage")]
    pub override_hold: bool,
    /// Do it even if its files are gone from the registry
    #[arg(long, requires = "stage")]
    pub no_check: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// What that rests on, for the audit: run:118, a report, a ticket
    #[arg(long, value_name = "TEXT", requires = "stage")]
    pub evidence: Option<String>,
    /// Private key to sign the promotion with
    #[arg(long, value_name = "FILE", requires = "stage")]
    pub key: Option<PathBuf>,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &PromoteArgs) -> Result<(), Failure> {
    let key = place::key(args.key.as_deref())?;
    let writer = args.writer.open()?;
    if let Some(alias) = &args.remove_alias {
        return take_away(args, alias, &writer);
    }
    let Some(version) = args.version else { return Ok(()) };
    let Some(stage) = args.stage else { return name(args, version, &writer) };
    let promotion = Promotion {
        archive_existing: !args.keep_existing,
        alias: args.alias.clone(),
        rollout: args.rollout,
        why: args.why.clone(),
        evidence: args.evidence.clone(),
        override_hold: args.override_hold,
        check: !args.no_check,
        ..Promotion::new(version, stage)
    };
    let done = promote(&writer, &args.model, &promotion, key.as_ref())?;
    print(args.json, &changed(&args.model, &done), || render(args, &done));
    remark(args.json, &done.value.notes);
    Ok(())
}

/// Moves an alias and nothing else.
fn name(args: &PromoteArgs, version: Version, writer: &Writer) -> Result<(), Failure> {
    let Some(alias) = &args.alias else { return Ok(()) };
    let done = set_alias(writer, &args.model, alias, version, args.why.as_deref())?;
    let (done, before) = done.split();
    let done = done.with(json!({"version": version.get(), "alias": alias, "before": before}));
    print(args.json, &changed(&args.model, &done), || {
        let before = before.filter(|before| *before != version.get());
        let before = before.map(|before| format!(", and no longer {before}")).unwrap_or_default();
        format!("{}@{alias} means version {version}{before}{}\n", args.model, unchanged(&done))
    });
    Ok(())
}

/// Takes an alias away and does nothing else.
fn take_away(args: &PromoteArgs, alias: &str, writer: &Writer) -> Result<(), Failure> {
    let done = remove_alias(writer, &args.model, alias, args.why.as_deref())?;
    let (done, before) = done.split();
    let done = done.with(json!({"version": null, "alias": alias, "before": before}));
    print(args.json, &changed(&args.model, &done), || {
        format!("{}@{alias} means nothing any more; it meant version {before}\n", args.model)
    });
    Ok(())
}

fn render(args: &PromoteArgs, done: &Done<Promoted>) -> String {
    let (model, promoted) = (&args.model, &done.value);
    let (version, stage) = (promoted.version, promoted.stage.name());
    let was = if promoted.from == promoted.stage {
        String::new()
    } else {
        format!(", was in {}", promoted.from.name())
    };
    let mut text = format!("version {version} of {model} is in {stage}{was}{}\n", unchanged(done));
    text += &archived(promoted);
    if let Some(alias) = &args.alias {
        text += &format!("{model}@{alias} means version {version}\n");
    }
    text
}

/// What went to Archived for it, where something did.
pub(super) fn archived(promoted: &Promoted) -> String {
    match &promoted.archived[..] {
        [] => String::new(),
        archived => format!("archived: {}\n", text::list(archived)),
    }
}

/// Says that nothing had to change, where that is so.
fn unchanged<T>(done: &Done<T>) -> &'static str {
    if done.mutation.is_none() { " already; nothing was changed" } else { "" }
}

/// A text that can be an alias.
pub(super) fn alias(text: &str) -> Result<String, String> {
    if is_alias(text) {
        Ok(text.to_owned())
    } else {
        Err("a name that is neither a whole number nor a stage".into())
    }
}
