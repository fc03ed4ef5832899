//! `sidegate registry lineage`: where versions come from.

use serde_json::json;

use super::place::PlaceArgs;
use super::{print, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::ModelName;
use crate::registry::operations::{LineageVersion, lineage};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry lineage churn                  run, parent, code and data of each version
  sidegate registry lineage churn --json | jq '.versions[-1].data_sources'";

const HEADS: &[&str] = &["VERSION", "STAGE", "CREATED", "RUN", "PARENT", "CODE", "DATA", "METRICS"];

/// Flags of `sidegate registry lineage`.
#[derive(Clone, Debug, clap::Args)]
pub struct LineageArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &LineageArgs) -> Result<(), Failure> {
    let lineage = lineage(&*args.place.find()?.store()?, &args.model)?;
    print(args.json, &json!(lineage), || {
        if lineage.versions.is_empty() {
            return "no versions\n".into();
        }
        let rows: Vec<_> = lineage.versions.iter().map(row).collect();
        table::render(HEADS, &[], &rows)
    });
    Ok(())
}

fn row(version: &LineageVersion) -> Vec<String> {
    let cell = |text: &Option<String>| text::cell(text.as_deref());
    vec![
        version.version.clone(),
        version.stage.name().to_owned(),
        cell(&version.created),
        cell(&version.run_id),
        cell(&version.parent),
        cell(&version.code),
        text::list(&version.data_sources),
        version.problem.as_deref().map_or_else(|| text::pairs(&version.performance_metrics), text::line),
    ]
}
