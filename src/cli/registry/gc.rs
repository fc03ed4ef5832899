//! `sidegate registry gc`: what nobody needs any more goes.

use std::time::Duration;

use serde_json::{Value, json};

use super::place::{self, WriterArgs};
use super::{changed, print, span, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::ModelName;
use crate::registry::operations::{Gc, Swept, gc};
use crate::registry::writer::Done;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry gc --dry-run                   what would go, of every model
  sidegate registry gc churn --keep 5 --grace 1d

Versions in None or Archived beyond the newest --keep are marked, unless an alias, a hold, a rollout or a rollback could
mean them; so are uploads that ran out, and folders that model.json does not list although its audit still has their
reservation: without one a folder is somebody's own, and stays. Nobody is offered what is marked any more; the files
are deleted by the first gc after --grace.";

const HEADS: &[&str] = &["MODEL", "MARKED", "EXPIRED", "ORPHANS", "DELETED"];

/// Flags of `sidegate registry gc`.
#[derive(Clone, Debug, clap::Args)]
pub struct GcArgs {
    /// The model [default: all]
    #[arg(value_name = "MODEL")]
    pub model: Option<ModelName>,
    /// The number of newest versions in None or Archived to keep
    #[arg(long, value_name = "N", default_value = "10")]
    pub keep: usize,
    /// How long the files of a marked version stay, such as 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span::duration)]
    pub grace: Duration,
    /// Say what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &GcArgs) -> Result<(), Failure> {
    let writer = args.writer.open()?;
    let models = match &args.model {
        Some(model) => vec![model.clone()],
        None => place::managed(writer.store())?,
    };
    let what = Gc { keep: args.keep, grace: args.grace, dry_run: args.dry_run };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for model in models {
        match gc(&writer, &model, &what) {
            Ok(swept) => done.push((model, swept)),
            // Where one is named, everything said is of it.
            Err(error) if args.model.is_some() => failed.push(error.to_string()),
            Err(error) => failed.push(format!("{model}: {error}")),
        }
    }
    let value: Vec<Value> = done.iter().map(|(model, swept)| changed(model, swept)).collect();
    // With nothing done there is nothing to tell but why.
    if failed.is_empty() || !done.is_empty() {
        print(args.json, &json!(value), || render(&done, args.dry_run));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("\nsidegate: "))) }
}

fn render(done: &[(ModelName, Done<Swept>)], dry_run: bool) -> String {
    if done.is_empty() {
        return "no models\n".into();
    }
    let row = |(model, done): &(ModelName, Done<Swept>)| {
        let Swept { marked, expired, orphans, purged } = &done.value;
        let lists = [marked, expired, orphans, purged].map(text::list);
        [vec![model.to_string()], lists.to_vec()].concat()
    };
    let rows: Vec<_> = done.iter().map(row).collect();
    let table = table::render(HEADS, &[], &rows);
    if dry_run { format!("{table}this is what would be done; nothing was changed\n") } else { table }
}
