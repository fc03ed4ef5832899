//! `sidegate registry verify`: whether a registry is whole; and raising the epoch of one that was put back.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::place::{self, Place, WriterArgs};
use super::{changed, print, text};
use crate::cli::failure::Failure;
use crate::cli::{FAILURE, complain, table};
use crate::model::ModelName;
use crate::registry::clock::{Clock as _, SystemClock};
use crate::registry::operations::{Finding, Severity, raise_epoch, verify, verify_all};
use crate::registry::signature::Keys;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry verify                         every model: all files are read in full
  sidegate registry verify churn --keys keys       signatures too
  sidegate registry verify churn --raise-epoch --why \"bucket restored from a backup\"

Readers refuse a model.json older than one they have seen. After a bucket was restored or failed over, --raise-epoch lets
them take it; with --key the promotions are signed again.
Exit codes: 0 nothing wrong (there may be warnings), 1 an error was found, 2 wrong usage.";

/// Flags of `sidegate registry verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The model [default: all]
    #[arg(value_name = "MODEL", required_if_eq("raise_epoch", "true"))]
    pub model: Option<ModelName>,
    /// Folder of public keys to check signatures with [default: registry.public_keys_dir of the configuration]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Let readers take a state that was put back
    #[arg(long)]
    pub raise_epoch: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", requires = "raise_epoch")]
    pub why: Option<String>,
    /// Private key to sign the promotions with again
    #[arg(long, value_name = "FILE", requires = "raise_epoch")]
    pub key: Option<PathBuf>,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let place = args.writer.place.find()?;
    let keys = args.keys.as_ref().or(place.config.public_keys_dir.as_ref());
    let keys = keys.map(|folder| Keys::load(folder)).transpose()?;
    let raised = match &args.model {
        Some(model) if args.raise_epoch => Some(raise(args, &place, model)?),
        _ => None,
    };
    let (store, now) = (place.store()?, SystemClock.now());
    let (models, findings) = match &args.model {
        Some(model) => (1, verify(&*store, model, keys.as_ref(), now)?),
        None => verify_all(&*store, keys.as_ref(), now)?,
    };
    if models == 0 {
        return Err(Failure::Failed(format!(
            "{} holds no model with a model.json: nothing was checked",
            place.config.url
        )));
    }
    let is_sound = findings.iter().all(|finding| finding.severity != Severity::Error);
    let value = json!({"ok": is_sound, "models": models, "findings": findings, "raised": raised});
    print(args.json, &value, || render(&findings));
    Ok(if is_sound { ExitCode::SUCCESS } else { FAILURE.into() })
}

/// Raises the epoch; what came of it.
fn raise(args: &VerifyArgs, place: &Place, model: &ModelName) -> Result<Value, Failure> {
    let key = place::key(args.key.as_deref())?;
    let writer = place.writer(args.writer.by.as_deref())?;
    let done = raise_epoch(&writer, model, args.why.as_deref().unwrap_or("no reason given"), key.as_ref())?;
    // Before anything that may still fail.
    complain(&format!("the epoch of {model} is {} now\n", done.value));
    let (done, epoch) = done.split();
    let mut value = changed(model, &done);
    value["epoch"] = json!(epoch);
    Ok(value)
}

fn render(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing is wrong\n".into();
    }
    let row = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let version = table::cell(&json!(finding.version));
        vec![severity.into(), finding.model.clone(), version, text::line(&finding.text)]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    table::render(&["SEVERITY", "MODEL", "VERSION", "FINDING"], &[], &rows)
}
