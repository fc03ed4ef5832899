//! `sidegate registry`: the versions of a registry, which of them serve, and who decided it. A verb has a file of its
//! own with what it takes, what it does and how it tells that.

mod compare;
mod gc;
mod hold;
mod lineage;
mod log;
mod ls;
mod named;
mod offer;
mod place;
mod promote;
mod register;
mod rollback;
mod show;
mod sign;
mod span;
mod sync;
mod text;
mod verify;

pub use place::open_registry;
pub(super) use place::{PlaceArgs, WriterArgs, key};
pub(super) use span::duration;

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{complain, say};
use crate::model::{ModelName, Stage};
use crate::registry::writer::Done;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry ls                             models, what serves, what is held
  sidegate registry register churn ./model.onnx --golden golden.json --metric auc=0.81
  sidegate registry promote churn 8 --stage Production --why \"auc 0.81, was 0.79\"
  sidegate registry rollback churn --why \"refunds doubled\"
  sidegate registry log churn --at \"2h ago\"        what was in Production then, and who decided it

The registry is a folder or a bucket: --registry, else registry.url of the configuration. Reading needs no right to
write. Every change is one conditional write, so that two publishers never lose each other's.
Exit codes: 0 done, 1 refused or failed (the message says whether anything was changed), 2 wrong usage.";

/// The store of a registry, for those who only read.
pub(super) fn store(
    place: &PlaceArgs,
) -> Result<Box<dyn crate::registry::store::Store>, super::failure::Failure> {
    place.find()?.store()
}

/// The writing half of a registry.
pub(super) fn writer(args: &WriterArgs) -> Result<crate::registry::writer::Writer, super::failure::Failure> {
    args.open()
}

/// What is done with a registry.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List models, or the versions of one
    #[command(after_help = ls::EXAMPLES)]
    Ls(ls::LsArgs),
    /// Show a model, or all that is known of one version
    #[command(after_help = show::EXAMPLES)]
    Show(show::ShowArgs),
    /// Add a version from local files
    #[command(after_help = register::EXAMPLES)]
    Register(Box<register::RegisterArgs>),
    /// Put a version into a stage, or let an alias mean it
    #[command(after_help = promote::EXAMPLES)]
    Promote(Box<promote::PromoteArgs>),
    /// Put a former version back into Production and hold it there
    #[command(after_help = rollback::EXAMPLES)]
    Rollback(rollback::RollbackArgs),
    /// Keep what is in Production there whatever automation thinks, or end that
    #[command(after_help = hold::EXAMPLES)]
    Hold(hold::HoldArgs),
    /// Have a running sidegate look at the registry now
    #[command(after_help = sync::EXAMPLES)]
    Sync(sync::SyncArgs),
    /// Compare two versions by metrics, parameters and size
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::CompareArgs),
    /// Show where the versions of a model come from
    #[command(after_help = lineage::EXAMPLES)]
    Lineage(lineage::LineageArgs),
    /// Show who changed what and why, or what was in Production at a time
    #[command(after_help = log::EXAMPLES)]
    Log(log::LogArgs),
    /// Check that everything a registry names is there and what it should be
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
    /// Delete what nobody needs any more
    #[command(after_help = gc::EXAMPLES)]
    Gc(gc::GcArgs),
    /// Sign a version and its promotion, or make a key for that
    #[command(after_help = sign::EXAMPLES)]
    Sign(sign::SignArgs),
}

/// Carries the command out.
pub(super) fn run(verb: &Verb) -> ExitCode {
    let done = match verb {
        Verb::Ls(args) => ls::run(args),
        Verb::Show(args) => show::run(args),
        Verb::Register(args) => register::run(args),
        Verb::Promote(args) => promote::run(args),
        Verb::Rollback(args) => rollback::run(args),
        Verb::Hold(args) => hold::run(args),
        Verb::Sync(args) => sync::run(args),
        Verb::Compare(args) => compare::run(args),
        Verb::Lineage(args) => lineage::run(args),
        Verb::Log(args) => log::run(args),
        Verb::Verify(args) => return verify::run(args).unwrap_or_else(|failure| failure.exit()),
        Verb::Gc(args) => gc::run(args),
        Verb::Sign(args) => sign::run(args),
    };
    done.map_or_else(|failure| failure.exit(), |()| ExitCode::SUCCESS)
}

/// Prints a result.
fn print(as_json: bool, value: &Value, text: impl FnOnce() -> String) {
    if as_json { say(&format!("{value:#}\n")) } else { say(&text()) }
}

/// Prints what people may not expect; those who read JSON find it there.
fn remark(as_json: bool, notes: &[String]) {
    if !as_json {
        notes.iter().for_each(|note| complain(&format!("note: {}\n", text::line(note))));
    }
}

/// A change as JSON: what came of it, and the generation that has it; `mutation` is null when nothing had to change.
fn changed<T: Serialize>(model: &ModelName, done: &Done<T>) -> Value {
    let mut object = Map::new();
    object.insert("model".into(), json!(model.as_str()));
    if let Value::Object(fields) = json!(done.value) {
        object.extend(fields);
    }
    object.insert("generation".into(), json!(done.generation));
    object.insert("epoch".into(), json!(done.epoch));
    object.insert("mutation".into(), json!(done.mutation));
    Value::Object(object)
}

/// A stage as people write it.
fn stage(text: &str) -> Result<Stage, String> {
    Stage::parse(text).ok_or_else(|| "None, Staging, Production or Archived".to_owned())
}

#[cfg(test)]
mod tests;
