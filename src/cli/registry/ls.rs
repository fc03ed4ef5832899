//! `sidegate registry ls`: models, or versions.

use serde_json::{Map, Value, json};

use super::offer::{self, Detail, Offer};
use super::place::PlaceArgs;
use super::{print, remark, stage, text};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::model::{ModelName, Stage};
use crate::registry::operations::Summary;
use crate::registry::{Registry, lost};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry ls                             models, what serves, what is held
  sidegate registry ls churn                       the versions of one
  sidegate registry ls --stage staging             every version in a stage
  sidegate registry ls churn --json | jq '.[].metrics.auc'";

const HEADS: &[&str] =
    &["MODEL", "SERVES", "PRODUCTION", "STAGING", "ALIASES", "VERSIONS", "GENERATION", "HOLD"];

/// Flags of `sidegate registry ls`.
#[derive(Clone, Debug, clap::Args)]
pub struct LsArgs {
    /// List the versions of this model
    #[arg(value_name = "MODEL")]
    pub model: Option<ModelName>,
    /// List the versions in this stage: None, Staging, Production or Archived
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Option<Stage>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &LsArgs) -> Result<(), Failure> {
    let mut registry = args.place.find()?.reader()?;
    if let Some(model) = &args.model {
        let offer = Offer::of(&mut registry, model)?;
        let details = details(&offer, &registry, args.stage)?;
        let value = Value::Array(details.iter().map(|detail| json!(detail)).collect());
        print(args.json, &value, || versions(details.iter().map(Detail::row).collect(), Detail::HEADS));
        remark(args.json, &offer.lost.then(|| lost::lost(model)).into_iter().collect::<Vec<_>>());
        return Ok(());
    }
    let mut offers = Vec::new();
    let (mut broken, mut lost) = (Vec::new(), Vec::new());
    for model in offer::models(&mut registry)? {
        match Offer::look(&mut registry, &model)? {
            Ok(offer) => {
                let is_lost = offer.as_ref().is_some_and(|offer| offer.lost);
                lost.extend(is_lost.then(|| lost::lost(&model)));
                offers.extend(offer);
            }
            Err(error) => broken.push((model, error.detail)),
        }
    }
    let notes = broken.iter().map(|(model, problem)| format!("{model}: {problem}"));
    let notes: Vec<String> = notes.chain(lost).collect();
    if args.stage.is_some() {
        in_stage(args, &registry, &offers)?;
    } else {
        let unusable =
            broken.iter().map(|(model, problem)| json!({"model": model.as_str(), "problem": problem}));
        let value = Value::Array(offers.iter().map(|offer| json!(offer)).chain(unusable).collect());
        print(args.json, &value, || models(&offers));
    }
    remark(args.json, &notes);
    Ok(())
}

fn details(offer: &Offer, registry: &Registry, stage: Option<Stage>) -> Result<Vec<Detail>, Failure> {
    let details: Result<Vec<Detail>, _> =
        offer.versions(stage).map(|version| offer.detail(registry, version)).collect();
    Ok(details?)
}

/// The versions of every model in one stage.
fn in_stage(args: &LsArgs, registry: &Registry, offers: &[Offer]) -> Result<(), Failure> {
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    for offer in offers {
        for detail in details(offer, registry, args.stage)? {
            let model = &offer.summary.model;
            let mut value = Map::from_iter([("model".to_owned(), json!(model))]);
            value.extend(json!(detail).as_object().cloned().unwrap_or_default());
            values.push(Value::Object(value));
            rows.push([vec![model.clone()], detail.row()].concat());
        }
    }
    let heads = [&["MODEL"], Detail::HEADS].concat();
    print(args.json, &Value::Array(values), || versions(rows, &heads));
    Ok(())
}

fn versions(rows: Vec<Vec<String>>, heads: &[&str]) -> String {
    if rows.is_empty() { "no versions\n".into() } else { table::render(heads, &["SIZE"], &rows) }
}

/// A line per model.
fn models(offers: &[Offer]) -> String {
    if offers.is_empty() {
        return "no models\n".into();
    }
    let rows: Vec<_> = offers.iter().map(row).collect();
    table::render(HEADS, &["VERSIONS", "GENERATION"], &rows)
}

fn row(offer: &Offer) -> Vec<String> {
    let Summary { model, generation, default, versions, hold, .. } = &offer.summary;
    let within = |stage| text::list(offer.versions(Some(stage)).map(|version| &version.version));
    let aliases =
        versions.iter().flat_map(|version| version.aliases.iter().map(|alias| (alias, &version.version)));
    vec![
        model.clone(),
        text::cell(default.as_deref()),
        within(Stage::Production),
        within(Stage::Staging),
        text::list(aliases.map(|(alias, version)| format!("{alias}={version}"))),
        versions.len().to_string(),
        if offer.managed { generation.to_string() } else { "-".into() },
        hold.as_ref()
            .map_or_else(|| "-".into(), |hold| text::line(&format!("{} by {}", hold.version, hold.by))),
    ]
}
